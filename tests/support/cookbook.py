"""The cookbook's page, and the dataset that its queries are answered on: the demo's Matomo in the weeks of the page."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from fake_matomo import FakeMatomo, default_world
from matomo_fn.app.cli.demo import SITES
from matomo_fn.warehouse.duckdb import to_duckdb
from tests.support.local import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fake_matomo import Visit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cookbook.md"
GA4_DOCUMENT = DOCUMENT.with_name("ga4.md")
FIRST, LAST = date(2026, 9, 28), date(2026, 11, 15)
DAYS = [FIRST + timedelta(days=offset) for offset in range((LAST - FIRST).days + 1)]
# What the questions ask for has to be there: Matomo has deleted visits before this time, and has not processed a day.
PURGED_UNTIL = datetime(2026, 9, 28, 14, tzinfo=UTC)
UNPROCESSED = (2, LAST)
# The reports that the queries read.
REPORTS = (
    "acquisition_campaign",
    "acquisition_channel_type",
    "behaviour_event",
    "behaviour_page",
    "visitor_country",
    "visitor_device_type",
    "visits_summary",
)
# How much of an answer the page shows.
ROWS_SHOWN = 3

_QUERY = re.compile(r"```sql\n(.*?)```\n(?:\n(?:\|[^\n]*\n)+)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: the names of its columns, and its rows in order."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def shown(self) -> str:
        """The first rows as a table of the page."""
        lines = [self.columns, ["---"] * len(self.columns)]
        lines += [[_cell(value) for value in row] for row in self.rows[:ROWS_SHOWN]]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Sample:
    """The dataset, and the Matomo that it was synced from."""

    matomo: FakeMatomo
    connection: duckdb.DuckDBPyConnection
    _answers: dict[str, Answer] = field(default_factory=dict)

    def ask(self, query: str) -> Answer:
        """Run a GoogleSQL query once, by the project's own translation."""
        if query not in self._answers:
            result = self.connection.execute(to_duckdb(self._from_a_copy(query)))
            columns = tuple(column[0] for column in result.description or ())
            self._answers[query] = Answer(columns, [tuple(map(_as_bigquery, row)) for row in result.fetchall()])
        return self._answers[query]

    def _from_a_copy(self, query: str) -> str:
        """The query from a copy of the widest view, which is computed once and not for each query."""
        if "`matomo_shop.events`" in query:
            self.connection.execute("create temp table if not exists events as select * from matomo_shop.events")
        return query.replace("`matomo_shop.events`", "`temp.events`")

    def visits(self, site: int = 1) -> list[Visit]:
        """All visits of a site, as its reports have them."""
        return [visit for day in DAYS for visit in self.matomo.visits(site, day)]

    def logged_visits(self, site: int = 1) -> list[Visit]:
        """The visits of a site that are left in the visits log."""
        return [visit for visit in self.visits(site) if visit.last_at >= PURGED_UNTIL.timestamp()]


@contextmanager
def synced(folder: Path) -> Iterator[Sample]:
    """Sync the two sites of the demo, with their visits, into a DuckDB file."""
    world = default_world(datetime(2026, 11, 16, 12, tzinfo=UTC))
    # As `matomo-fn demo --days` does it.
    world = replace(world, sites=tuple(replace(site, created=max(site.created, FIRST)) for site in world.sites))
    path = folder / "cookbook.duckdb"
    with FakeMatomo(world) as matomo:
        matomo.purge_visits(PURGED_UNTIL)
        matomo.unprocess(*UNPROCESSED)
        config = {"sites": list(SITES), "visits": True, "reports": list(REPORTS), "backfill_days": len(DAYS)}
        with local(matomo, path, **config) as connector:
            result = connector.sync()
            assert not [*result.matomo_errors, *result.warehouse_errors]
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            yield Sample(matomo, connection)


def sections(text: str, level: int = 2) -> list[tuple[str, str]]:
    """The questions of the page, headings of a level, with what stands below each."""
    parts = text.split(f"\n{'#' * level} ")[1:]
    return [(question, below) for question, _, below in (part.partition("\n") for part in parts)]


def queries(text: str, level: int = 2) -> dict[str, str]:
    """The page's queries by their questions; each question has to have one, and none may come twice."""
    found: dict[str, str] = {}
    for question, below in sections(text, level):
        (query,) = _QUERY.findall(below)
        assert question not in found, question
        found[question] = query
    return found


def with_answers(text: str, sample: Sample) -> str:
    """The page with the first rows of today's answers below each query."""
    return _QUERY.sub(lambda match: f"```sql\n{match[1]}```\n\n{sample.ask(match[1]).shown()}", text)


def _as_bigquery(value: Any) -> Any:
    # GoogleSQL's date_trunc of a DATE is a DATE; DuckDB makes a TIMESTAMP of it, without a time zone.
    if isinstance(value, datetime) and value.tzinfo is None and value == datetime.combine(value, datetime.min.time()):
        return value.date()
    return value


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return str(value).replace("|", "\\|")
