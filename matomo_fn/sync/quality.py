"""What is said of a slice when it is compared with Matomo's totals: pure functions of what was counted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from matomo_fn.catalogue import Adds, Table, adds
from matomo_fn.slices import Slice
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Status

# Amounts are rounded to 2 decimals by Matomo, each one of a sum.
_CENT = 0.01


class Check(StrEnum):
    """What is compared."""

    PENDING_DAY = "pending_day"
    LOGGED_ROWS = "logged_rows"
    REFETCHED_ROWS = "refetched_rows"
    SUMMED_VISITS = "summed_visits"
    OTHERS_SHARE = "others_share"
    EXPORTED_VISITS = "exported_visits"
    EXPORTED_ACTIONS = "exported_actions"
    TRUNCATED_VISITS = "truncated_visits"
    CONVERSIONS = "conversions"
    REVENUE = "revenue"


class QualityVerdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    EXPLAINED = "explained"
    DIFFERS = "differs"


class Reason(StrEnum):
    """Why a check is not ok."""

    # Explained.
    PENDING = "pending"
    LATE_ARCHIVE = "late_archive"
    ROW_LIMIT = "row_limit"
    UNIQUE_COUNTS = "unique_counts"
    PART_OF_VISITS = "part_of_visits"
    VISITS_LOG_OFF = "visits_log_off"
    REPORT_OFF = "report_off"
    VISITS_PURGED = "visits_purged"
    REPORTS_PURGED = "reports_purged"
    VISITS_TRUNCATED = "visits_truncated"
    # Differs.
    CHANGED_DAY = "changed_day"
    ROW_MISSING = "row_missing"
    ROW_ADDED = "row_added"
    ROW_DOUBLED = "row_doubled"
    VALUE_CHANGED = "value_changed"
    OTHER_RUN = "other_run"
    MISSING = "missing"
    FAILED = "failed"
    NOT_SAMPLED = "not_sampled"
    UNKNOWN = "unknown"


# Reasons that are about a report and not about a day: they hold on every day, and nothing can be done.
STANDING_REASONS = frozenset({Reason.UNIQUE_COUNTS, Reason.PART_OF_VISITS})


@dataclass(frozen=True, slots=True)
class Quality:
    """What a check says of a slice."""

    slice: Slice
    check: Check
    expected: float | None
    found: float | None
    verdict: QualityVerdict = QualityVerdict.OK
    reason: Reason | None = None
    detail: str = ""

    @property
    def difference(self) -> float | None:
        """What the table has more than Matomo counts."""
        if self.expected is None or self.found is None:
            return None
        return round(self.found - self.expected, 6)

    @property
    def is_finding(self) -> bool:
        """Whether it says something of the day: what holds of a report on every day is none."""
        return self.verdict is not QualityVerdict.OK and self.reason not in STANDING_REASONS

    @property
    def sentence(self) -> str:
        """What differs, for people."""
        numbers = "" if self.expected is None else f", expected {_number(self.expected)}, found {_number(self.found)}"
        return f"{self.slice.described}: {self.check} {self.verdict} ({self.reason}){numbers}: {self.detail}"

    def explained(self, reason: Reason, detail: str) -> "Quality":
        """Return the same, explained by a known reason."""
        return replace(self, verdict=QualityVerdict.EXPLAINED, reason=reason, detail=detail)

    def differs(self, reason: Reason, detail: str) -> "Quality":
        """Return the same as a real difference."""
        return replace(self, verdict=QualityVerdict.DIFFERS, reason=reason, detail=detail)


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log says of a slice; ``is_intact``: the table has the rows of the run that the log names."""

    status: Status
    rows: int
    is_final: bool
    error: str | None = None
    content_hash: str | None = None
    is_intact: bool = True

    @classmethod
    def of(cls, known: KnownSlice | LogEntry) -> "Logged":
        """Return it of what was read from the log, or is about to be in it."""
        is_intact = known.is_intact if isinstance(known, KnownSlice) else True
        return cls(known.status, known.row_count, known.is_final, known.error, known.content_hash, is_intact)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a table has of a slice; None where it has no such number."""

    rows: int = 0
    keys: int = 0
    visits: float | None = None
    others_visits: float | None = None
    others_rows: int | None = None
    actions: float | None = None
    truncated_actions: int | None = None
    truncated_visits: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Totals":
        """Return those of a row of `quality_sql.counts_of_days`."""
        return cls(
            int(row["row_count"]),
            int(row["key_count"]),
            _float(row["visits"]),
            _float(row["others_visits"]),
            row["others_rows"],
            _float(row["actions"]),
            row["truncated_actions"],
            row["truncated_visits"],
        )


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What Matomo counts on a day of a site and segment; None where that is not known."""

    visits: int | None = None
    actions: int | None = None
    conversions: float | None = None
    revenue: float | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """The conversions of a day in the table of visits, and their revenue, counted in two ways.

    ``by_time``: by when they happened, which may be in a visit of the next day; ``by_visit``: by the day of the visit.
    ``is_whole``: the visits of the next day are in the table too.
    """

    by_time: tuple[float, float] = (0, 0)
    by_visit: tuple[float, float] = (0, 0)
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """A slice with all that is known of it. ``has_visits_column``: its rows have numbers of visits."""

    table: Table
    slice: Slice
    logged: Logged | None
    totals: Totals = Totals()
    counted: DayCounts = DayCounts()
    converted: Converted | None = None
    has_visits_column: bool = False


def judge(look: Look) -> Iterator[Quality]:
    """Yield what the checks say of a slice that need no second answer of Matomo for it.

    Differences whose cause only that second answer can tell are UNKNOWN.
    """
    pending = Quality(look.slice, Check.PENDING_DAY, 0, 1)
    if look.logged is None:
        yield pending.differs(Reason.MISSING, f"no run has synced it: sync {_days(look.slice)}")
        return
    if not look.logged.status.is_good:
        error = look.logged.error or "see _sync_log"
        if look.logged.status is Status.PENDING:
            yield pending.explained(Reason.PENDING, f"each run refetches it until Matomo has processed it: {error}")
        else:
            yield pending.differs(Reason.FAILED, f"each run refetches it: {error}")
        return
    yield replace(pending, found=0)
    rows = _rows(look, look.logged)
    yield rows
    found = [*_of_visits(look), *_of_conversions(look)] if look.table.is_log else _of_report(look)
    for quality in found:
        # Rows that are not those that were written are the cause of what they add up to.
        is_caused = rows.verdict is QualityVerdict.DIFFERS and quality.reason is Reason.UNKNOWN
        yield replace(quality, reason=rows.reason, detail=rows.detail) if is_caused else quality


def _rows(look: Look, logged: Logged) -> Quality:
    totals = look.totals
    quality = Quality(look.slice, Check.LOGGED_ROWS, logged.rows, totals.rows)
    repair = "`status --verify` marks it, and the next sync writes it again"
    if totals.keys < totals.rows:
        doubled = totals.rows - totals.keys
        return quality.differs(Reason.ROW_DOUBLED, f"{doubled} of the rows stand twice, by their key: {repair}")
    if totals.rows < logged.rows:
        return quality.differs(Reason.ROW_MISSING, f"rows are missing that a run has written: {repair}")
    if totals.rows > logged.rows:
        return quality.differs(Reason.ROW_ADDED, f"the table has rows that no run has written: {repair}")
    if not logged.is_intact and totals.rows:
        return quality.differs(Reason.OTHER_RUN, f"the rows are not of the run that the log names: {repair}")
    return quality


def _of_report(look: Look) -> Iterator[Quality]:
    totals, counted = look.totals, look.counted
    if look.table.has_others:
        yield _others(look)
    if not look.has_visits_column or not look.table.period.is_day:
        return
    found = totals.visits or 0
    quality = Quality(look.slice, Check.SUMMED_VISITS, counted.visits, found)
    kind = adds(look.table)
    if kind is Adds.MORE:
        yield replace(quality, expected=None).explained(
            Reason.UNIQUE_COUNTS, "a visit is counted in several rows: their sum is not the day's visits"
        )
    elif kind is Adds.PART and (counted.visits is None or found <= counted.visits):
        yield replace(quality, expected=None).explained(
            Reason.PART_OF_VISITS, "only some visits are in a row: their sum is at most the day's visits"
        )
    elif counted.visits is not None:
        yield _equal(quality)


def _others(look: Look) -> Quality:
    totals = look.totals
    if not totals.others_rows:
        return Quality(look.slice, Check.OTHERS_SHARE, 0, 0)
    share = totals.others_visits / totals.visits if totals.visits and totals.others_visits is not None else None
    quality = Quality(look.slice, Check.OTHERS_SHARE, 0, None if share is None else round(share, 6))
    part = "" if share is None else f" with {share:.1%} of the report's visits"
    return quality.explained(
        Reason.ROW_LIMIT,
        f"Matomo's row limit cut the report: it has an \"Others\"{part}. More rows take higher limits in Matomo's "
        "configuration (datatable_archiving_maximum_rows_…) and the day archived again",
    )


def _of_visits(look: Look) -> Iterator[Quality]:
    totals, counted = look.totals, look.counted
    if counted.visits is not None:
        yield _equal(Quality(look.slice, Check.EXPORTED_VISITS, counted.visits, totals.visits or 0))
    if counted.actions is not None and (totals.actions is not None or not totals.rows):
        yield _equal(Quality(look.slice, Check.EXPORTED_ACTIONS, counted.actions, totals.actions or 0))
    quality = Quality(look.slice, Check.TRUNCATED_VISITS, 0, totals.truncated_visits or 0)
    if totals.truncated_visits:
        yield quality.explained(
            Reason.VISITS_TRUNCATED,
            f"Matomo left {totals.truncated_actions} actions out of visits with more than it shows (500 by "
            "default): raise Live's limit of actions in Matomo's configuration and sync the day again",
        )
    else:
        yield quality


def _of_conversions(look: Look) -> Iterator[Quality]:
    converted, counted = look.converted, look.counted
    if converted is None or counted.conversions is None or counted.revenue is None:
        return
    # An amount of money for each conversion is rounded.
    slack = _CENT * max(1.0, counted.conversions)
    for place, (check, expected, tolerance) in enumerate(
        ((Check.CONVERSIONS, counted.conversions, 0.0), (Check.REVENUE, counted.revenue, slack))
    ):
        both = (converted.by_time[place], converted.by_visit[place])
        found = min(both, key=lambda number: abs(number - expected))
        quality = Quality(look.slice, check, expected, round(found, 6))
        if round(abs(found - expected), 6) <= round(tolerance, 6):  # without what subtracting doubles leaves
            yield quality
        elif look.totals.truncated_visits:
            yield quality.explained(
                Reason.VISITS_TRUNCATED, "conversions may be among the actions that Matomo left out of long visits"
            )
        elif not converted.is_whole and found < expected:
            yield quality.explained(
                Reason.PENDING,
                "conversions of visits that went on after midnight stand on the next day, which is not synced yet",
            )
        else:
            yield quality.differs(Reason.UNKNOWN, "")


def _equal(quality: Quality) -> Quality:
    return quality if quality.expected == quality.found else quality.differs(Reason.UNKNOWN, "")


class Refetched(StrEnum):
    """What a second answer of Matomo says about the rows that a table has of a slice."""

    SAME = "same"  # the table has Matomo's answer
    CHANGED = "changed"  # the table has what Matomo answered then; it answers something else now
    TABLE = "table"  # Matomo answers what it answered then, and the table has something else
    PURGED = "purged"  # Matomo has deleted visits or reports that the table has
    PENDING = "pending"  # Matomo has not processed the day now
    SKIPPED = "skipped"  # there is no such report, or no visits log
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Second:
    """The second answer for a slice, compared with the table.

    ``expected``, ``found``: rows of the answer and of the table. ``reason``: of TABLE, what became of the rows.
    """

    kind: Refetched
    expected: int | None
    found: int | None
    detail: str = ""
    reason: Reason | None = None


def refetched(slice_: Slice, table: Table, second: Second, logged: Logged | None) -> Quality:
    """Return what a second answer says of a slice."""
    quality = Quality(slice_, Check.REFETCHED_ROWS, second.expected, second.found)
    detail = second.detail
    match second.kind:
        case Refetched.SAME:
            return quality
        case Refetched.TABLE:
            repair = f"{detail}: sync {_days(slice_)} with mode full_refresh, without naming tables"
            return quality.differs(second.reason or Reason.VALUE_CHANGED, repair)
        case Refetched.CHANGED if logged is not None and not logged.is_final:
            return quality.explained(
                Reason.LATE_ARCHIVE, f"Matomo has archived the day again since: the next sync writes it; {detail}"
            )
        case Refetched.CHANGED:
            return quality.differs(
                Reason.CHANGED_DAY,
                f"Matomo has changed a final day: a sweep writes it, or sync {_days(slice_)}; {detail}",
            )
        case Refetched.PURGED:
            return quality.explained(Reason.VISITS_PURGED if table.is_log else Reason.REPORTS_PURGED, detail)
        case Refetched.PENDING:
            return quality.explained(Reason.PENDING, detail)
        case Refetched.SKIPPED:
            return quality.explained(Reason.VISITS_LOG_OFF if table.is_log else Reason.REPORT_OFF, detail)
        case Refetched.FAILED:
            return quality.differs(Reason.FAILED, detail)


def resolve(quality: Quality, second: Quality | None, table: Table, *, is_final: bool) -> Quality:
    """Return a finding with its cause, as far as a second answer for its slice tells it.

    ``second``: what that answer says; None where there was none. ``is_final``: no run requests the day by itself.
    """
    if quality.reason is Reason.MISSING:
        known = (Reason.VISITS_LOG_OFF, Reason.REPORT_OFF, Reason.PENDING)
        if second is None or second.reason not in known:
            return quality
        return replace(quality, verdict=second.verdict, reason=second.reason, detail=second.detail)
    if quality.reason is not Reason.UNKNOWN:
        return quality
    if second is None:
        return quality.differs(
            Reason.NOT_SAMPLED,
            f"the day was not refetched, so that the cause is not known: reconcile {_days(quality.slice)}",
        )
    if second.verdict is not QualityVerdict.OK:
        return replace(quality, verdict=second.verdict, reason=second.reason, detail=second.detail)
    difference = quality.difference or 0
    if table.is_log and difference < 0:
        return quality.explained(
            Reason.VISITS_PURGED,
            "Matomo's visits log has fewer than its reports count, as where old visits are deleted: the table has all "
            "that is left",
        )
    if table.is_log and quality.expected == 0:
        return quality.explained(Reason.PENDING, "Matomo has visits of that day, and no reports of it (yet)")
    if table.is_log and not is_final:
        return quality.explained(Reason.LATE_ARCHIVE, "visits have come since Matomo made the reports of the day")
    return quality.differs(
        Reason.UNKNOWN,
        "the table has what Matomo answers, and Matomo's own reports do not agree: archive the day again",
    )


def tally(found: Iterable[Quality]) -> dict[QualityVerdict, int]:
    """Return how many checks came to each verdict."""
    counts = dict.fromkeys(QualityVerdict, 0)
    for quality in found:
        counts[quality.verdict] += 1
    return counts


def _days(slice_: Slice) -> str:
    return f"--start-date {slice_.date} --end-date {slice_.last_day} --site {slice_.website_id}"


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.12g}"
