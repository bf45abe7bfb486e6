"""Reports of page URLs and titles, and of entry and exit pages, with the archive's row limit."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from fake_matomo.language import Language
from fake_matomo.pagetallies import PageReport, PageTally, Times
from fake_matomo.php import php_number, quotient
from fake_matomo.tallies import Number, Row
from fake_matomo.visits import TIMINGS, Visit

# Top-level rows that Matomo archives of a page report (datatable_archiving_maximum_rows_actions).
ARCHIVE_ROWS = 500

_HITS = tuple(f"nb_hits_with_time_{name}" for name in TIMINGS)
_MIN = tuple(f"min_time_{name}" for name in TIMINGS)
_MAX = tuple(f"max_time_{name}" for name in TIMINGS)
_SUM = tuple(f"sum_time_{name}" for name in TIMINGS)
_AVG = tuple(f"avg_time_{name}" for name in TIMINGS)


def page_rows(  # noqa: PLR0913 - each is a parameter of the request that changes the rows
    visits: Iterable[Visit],
    language: Language,
    *,
    by_title: bool,
    flat: bool,
    several_days: bool,
    sums: bool = False,
    truncate: int | None = None,
) -> tuple[list[Row], Row | None]:
    """Return the rows of a page report, unsorted, and "Others" if a limit cuts it.

    In a flat report the archive's "Others" is sorted like any other row, since flattening drops its special
    place; `filter_truncate` is applied after flattening, so its "Others" is always the last row. `sums` adds the
    columns `sum_time_*` of page loads.
    """
    report = PageReport(by_title=by_title)
    for visit in visits:
        report.add(visit)
    writer = _Writer(report.totals, several_days=several_days, sums=sums)
    kept, cut = _limited(_root(list(report.rows.values()), by_title=by_title), ARCHIVE_ROWS)
    if flat:
        kept = [([row], _label(row, by_title=by_title)) for members, _ in kept for row in members]
    truncated: list[PageTally] = []
    if truncate is not None and truncate >= 0:
        kept, truncated = _limited(kept, truncate + 1)
    made = [writer.row(entry, number, by_title=by_title, flat=flat) for number, entry in enumerate(kept, start=1)]
    if truncated:
        return made, writer.others(truncated + cut, language, dimension=None)
    if not cut:
        return made, None
    if not flat:
        return made, writer.others(cut, language, dimension=None)
    made.append(writer.others(cut, language, dimension="Actions_PageTitle" if by_title else "Actions_PageUrl"))
    return made, None


# Reports of some of the rows: the column that these rows have, and the name of their segment.
_CHOSEN = {
    "Actions.getEntryPageTitles": ("entry_nb_visits", "entryPageTitle"),
    "Actions.getEntryPageUrls": ("entry_nb_visits", "entryPageUrl"),
    "Actions.getExitPageTitles": ("exit_nb_visits", "exitPageTitle"),
    "Actions.getExitPageUrls": ("exit_nb_visits", "exitPageUrl"),
    "Actions.getPageTitlesFollowingSiteSearch": ("nb_hits_following_search", ""),
    "Actions.getPageUrlsFollowingSiteSearch": ("nb_hits_following_search", ""),
}
CHOSEN_PAGES = frozenset(_CHOSEN)


def chosen_pages(method: str, rows: Iterable[Row]) -> list[Row]:
    """Return the rows of a report of entry pages, exit pages, or pages that follow a site search."""
    column, segment = _CHOSEN[method]
    chosen = []
    for row in rows:
        if column not in row:
            continue
        made = dict(row)
        _, equals, value = str(row.get("segment", "")).partition("==")
        if equals:
            # Folders have the same segment in all of these reports, pages do not.
            del made["segment"]
            if segment:
                made["segment"] = f"{segment}=={value}"
        for dimension in ("Actions_PageUrl", "Actions_PageTitle"):
            if dimension in made and segment:
                made[f"Actions_{segment[0].upper()}{segment[1:]}"] = made.pop(dimension)
        chosen.append(made)
    return chosen


Entry = tuple[list[PageTally], str]


class _Folder(str):
    """The label of a folder, whose row stands for several pages."""


def _label(row: PageTally, *, by_title: bool) -> str:
    return row.page.title if by_title else row.page.flat_label


def _root(rows: list[PageTally], *, by_title: bool) -> list[Entry]:
    """Return the top-level rows: pages or titles, and folders with their pages."""
    if by_title:
        return [([row], _label(row, by_title=True)) for row in rows]
    folders: dict[str, list[PageTally]] = {}
    root: list[Entry] = []
    for row in rows:
        if row.page.folder is None:
            root.append(([row], row.page.flat_label))
        else:
            folders.setdefault(row.page.folder, []).append(row)
    return root + [(members, _Folder(name)) for name, members in folders.items()]


def _limited(entries: list[Entry], limit: int) -> tuple[list[Entry], list[PageTally]]:
    """Split entries into those within the limit and those cut; "Others" takes the last place."""
    if len(entries) <= limit:
        return entries, []
    ordered = sorted(entries, key=lambda entry: (-sum(len(row.visits) for row in entry[0]), entry[1]))
    cut = [row for members, _ in ordered[limit - 1 :] for row in members]
    return ordered[: limit - 1], cut


class _Writer:
    """Turns tallies into rows with Matomo's fields."""

    def __init__(self, totals: Mapping[str, int], *, several_days: bool, sums: bool) -> None:
        self.totals, self.several_days, self.sums = totals, several_days, sums

    def row(self, entry: Entry, number: int, *, by_title: bool, flat: bool) -> Row:
        """Return a row of the report; `number` is the id of a folder's subtable."""
        members, label = entry
        if by_title:
            return self.title(members[0], flat=flat)
        if flat:
            return self.flat(members[0])
        return self.folder(members, number) if isinstance(label, _Folder) else self.nested(members[0])

    def flat(self, row: PageTally) -> Row:
        page = row.page
        made = self._metrics(row, page.flat_label, text=True, people=True)
        made["url"] = page.url
        made["Actions_PageUrl"] = page.path
        made["segment"] = page.url_segment
        return made

    def nested(self, row: PageTally) -> Row:
        page = row.page
        label = page.flat_label if page.flat_label != "/" else "/index"
        made = self._metrics(row, label, text=True, people=True)
        made["url"] = page.url
        made["segment"] = page.url_segment
        return made

    def folder(self, members: list[PageTally], number: int) -> Row:
        merged = PageTally(members[0].page)
        for row in members:
            merged.merge(row)
        page = merged.page
        # A visit of two pages of the folder counts twice: Matomo sums the visits of its pages.
        visits = sum(len(row.visits) for row in members)
        made = self._metrics(merged, str(page.folder), text=False, people=False, visits=visits)
        made["segment"] = page.folder_segment
        made["idsubdatatable"] = number
        return made

    def title(self, row: PageTally, *, flat: bool) -> Row:
        page = row.page
        # Flattening removes a trailing "index" from titles too, not only from paths.
        label = page.title.removesuffix(" index") if flat else f" {page.title}"
        made = self._metrics(row, label, text=True, people=True)
        if flat:
            made["Actions_PageTitle"] = label
        made["segment"] = page.title_segment
        return made

    def others(self, cut: list[PageTally], language: Language, *, dimension: str | None) -> Row:
        merged = PageTally(cut[0].page)
        for row in cut:
            merged.merge(row)
        visits = sum(len(row.visits) for row in cut)
        made = self._metrics(merged, language.others, text=False, people=False, visits=visits)
        # What only one of the pages has was not summed: it stays a string from the database.
        for prefix, having in (
            ("entry_", [row for row in cut if row.entry_visits]),
            ("exit_nb_", [row for row in cut if row.exit_visits]),
        ):
            if len(having) == 1:
                made |= {key: str(value) for key, value in made.items() if key.startswith(prefix)}
        if dimension:
            made[dimension] = language.others
        return made

    def _metrics(self, row: PageTally, label: str, *, text: bool, people: bool, visits: int | None = None) -> Row:
        daily = self.several_days
        number: Number = str if text and not daily else int
        count = len(row.visits) if visits is None else visits
        made: Row = {"label": label, "nb_visits": count}
        if people and not daily:
            made["nb_uniq_visitors"] = len(row.visitors)
        made["nb_hits"] = row.hits
        made["sum_time_spent"] = row.spent
        if row.searched:
            made["nb_hits_following_search"] = number(row.searched)
        counts, averages = _loads(row.loads, text=text and not daily, sums=self.sums)
        made.update(counts)
        made |= _entries_and_exits(row, number, people=people and not daily)
        if people and daily:
            made |= _daily_people(row)
        if row.goals:
            made["goals"] = {key: goal.row(key, self.totals[key], row.entry_visits) for key, goal in row.goals.items()}
        made.update(averages)
        made["avg_time_on_page"] = int(row.spent / row.hits + 0.5) if row.hits else 0
        made["bounce_rate"] = quotient(row.entry_bounces, row.entry_visits, 2)
        made["exit_rate"] = quotient(row.exit_visits, count, 2)
        return made


def _entries_and_exits(row: PageTally, number: Number, *, people: bool) -> Row:
    made: Row = {}
    if row.entry_visits:
        if people:
            made["entry_nb_uniq_visitors"] = len(row.entry_visitors)
        made["entry_nb_visits"] = number(row.entry_visits)
        made["entry_nb_actions"] = number(row.entry_actions)
        made["entry_sum_visit_length"] = number(row.entry_length)
        made["entry_bounce_count"] = number(row.entry_bounces)
    if row.exit_visits:
        if people:
            made["exit_nb_uniq_visitors"] = len(row.exit_visitors)
        made["exit_nb_visits"] = number(row.exit_visits)
    return made


def _daily_people(row: PageTally) -> Row:
    """Return the unique visitors of a longer period, which Matomo sums over its days."""
    made: Row = {"sum_daily_nb_uniq_visitors": len(row.visitors)}
    if row.entry_visits:
        made["sum_daily_entry_nb_uniq_visitors"] = len(row.entry_visitors)
    if row.exit_visits:
        made["sum_daily_exit_nb_uniq_visitors"] = len(row.exit_visitors)
    return made


def _loads(loads: list[Times], *, text: bool, sums: bool) -> tuple[Row, Row]:
    """Return counts, bounds and averages of the six timings; the caller must not modify them."""
    if len(loads) > 1:
        return _written_loads(loads, text=text, sums=sums)
    # Most pages of a large report have a single view, and there are only a few hundred distinct page loads.
    return _few_loads(loads[0] if loads else None, text, sums)


@lru_cache(maxsize=4096)
def _few_loads(times: Times | None, text: bool, sums: bool) -> tuple[Row, Row]:  # noqa: FBT001 - cached
    return _written_loads([times] if times else [], text=text, sums=sums)


def _written_loads(loads: list[Times], *, text: bool, sums: bool) -> tuple[Row, Row]:
    count = len(loads)
    hits: object = str(count) if text else count
    counts: Row = {}
    averages: Row = {}
    whole = 0.0
    for at, name in enumerate(_HITS):
        times = [load[at] for load in loads]
        total = sum(times) / 1000
        if sums:
            counts[_SUM[at]] = f"{total:.4f}" if text else php_number(round(total, 4))
        counts[name] = hits
        counts[_MIN[at]] = f"{min(times) / 1000:.4f}" if times else None
        counts[_MAX[at]] = f"{max(times) / 1000:.4f}" if times else None
        average = quotient(total, count, 3)
        averages[_AVG[at]] = average
        whole += average
    averages["avg_page_load_time"] = php_number(round(whole, 3))
    return counts, averages
