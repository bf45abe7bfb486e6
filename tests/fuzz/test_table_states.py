"""Tables that somebody has changed: a run brings them up to date slice by slice, or says what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn.errors import MatomoFnError
from matomo_fn.verdict import Verdict
from tests.fuzz.doing import DOINGS, Doing, do
from tests.fuzz.fuzzing import fuzzed, nothing_unforeseen
from tests.fuzz.place import TABLES, Place, half_written, opened, same

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = {
    "visits_summary": ("date", "website_id", "visits", "bounce_rate", "_synced_at", "_run_id"),
    "visitor_country": ("date", "website_id", "country_code", "visits", "revenue", "_is_others", "_run_id"),
    "visits": ("date", "website_id", "visit_id", "visitor_id", "actions", "custom_dimensions", "raw", "_run_id"),
}
TYPES = (
    *("varchar", "bigint", "integer", "hugeint", "double", "float", "decimal(38, 9)", "decimal(5, 2)", "boolean"),
    *("date", "timestamp", "timestamptz", "time", "interval", "blob", "uuid", "json", "bit", "enum('a', 'b')"),
    *("bigint[]", "varchar[3]", "struct(a integer)", "struct(url varchar)[]", "map(varchar, integer)"),
    "union(a integer, b varchar)",
)
DAYS = (
    *("date '2026-11-17'", "date '2026-11-19'", "date '2020-01-01'", "date '0001-01-01'", "date '9999-12-31'"),
    *("date 'infinity'", "date '-infinity'", "date '20000-01-01'", "date '0044-03-15 (BC)'"),
)
VALUES = ("null", "0", "1", "-1", "'x'", "''", "'Others'", "true", "9223372036854775807", "'nan'", "[]", *DAYS)
NAMES = ("note", "Note", "visits", "VISITS", "select", "a b", 'a"b', "é", "_run_id", "x" * 80, "date_", "1st")

places = st.sampled_from(TABLES)


@st.composite
def changes(draw: st.DrawFn) -> str:
    """One statement of somebody else; of a dataset that is written as %s."""
    table = draw(places)
    column = draw(st.sampled_from(COLUMNS[table]))
    kind, day, value, name = (draw(st.sampled_from(each)) for each in (TYPES, DAYS, VALUES, NAMES))
    quoted = name.replace('"', '""')
    some = draw(st.sampled_from(["true", f"date = {day}", "date = date '2026-11-18'", "random() < 0.5"]))
    other = draw(st.sampled_from(TABLES))
    at = f'%s."{table}"'
    return draw(
        st.sampled_from(
            [
                f'alter table {at} drop column "{column}"',
                f'alter table {at} add column "{quoted}" {kind}',
                f'alter table {at} add column "{quoted}" {kind} default 1',
                f'alter table {at} alter column "{column}" type {kind}',
                f'alter table {at} rename column "{column}" to "{quoted}"',
                f'alter table {at} alter column "{column}" drop not null',
                f'alter table {at} alter column "{column}" set not null',
                f'alter table {at} rename to "{other}_old"',
                f"delete from {at} where {some}",
                f"insert into {at} from {at} where {some}",
                f'update {at} set "{column}" = {value} where {some}',
                f"update {at} set date = {day} where {some}",
                f"update {at} set website_id = 'x' || website_id where {some}",
                f"drop table {at}",
                f"create or replace table {at} as from {at} limit 0",
                f"create or replace table {at} as from {at}",
                f"create or replace table {at} (x {kind})",
                f'create or replace table {at} as select *, 1 as "{quoted}" from {at}',
                f'alter table {at} rename to "old"; create view {at} as from %s."old"',
                f'alter table {at} rename to "gone"; create view {at} as from %s."gone"; drop table %s."gone"',
                f'create table %s."_staging_{table}" (x integer)',
                f'create table %s."{table}_rebuild" as from {at}',
                f"drop table {at}; create sequence {at}",
                f'create unique index i on {at} ("{column}")',
                f"comment on column {at}.\"{column}\" is 'it''s mine'",
                "drop schema %s cascade",
                "drop view %s._sync_state",
                "create or replace view %s._sync_state as select 1 as x",
                "drop view %s.visit_actions; create table %s.visit_actions (x integer)",
                "drop table %s._sync_log cascade",
                "drop table %s._sync_runs",
            ]
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with nothing_unforeseen(), opened(tmp_path_factory.mktemp("tables")) as running:
        yield running


@fuzzed(6)
@example(
    [
        'alter table %s."visits_summary" add column "select" varchar',
        "update %s.\"visits_summary\" set date = date '2020-01-01' where true",
    ],
    Doing("full_refresh", ("visits_summary",)),
)
@given(st.lists(changes(), min_size=1, max_size=3), DOINGS)
def test_a_table_that_somebody_changed_is_brought_up_to_date_or_refused(
    place: Place, statements: list[str], doing: Doing
) -> None:
    place.reset()
    place.spoil(*(part for each in statements for part in each.replace("%s", place.dataset).split("; ")))
    before = {table: place.rows(table) for table in TABLES}
    result = do(place, doing)
    for table in TABLES:
        was, now = before[table], place.rows(table)
        if was is None or now is None:
            continue
        broken = half_written(was, now, place.right[table])
        assert not broken, (table, broken)
        if table in doing.tables and is_rewritten(doing, result):
            wrong = [key for key, rows in place.right[table].items() if not same(now.get(key, []), rows)]
            assert not wrong, (table, wrong)


def is_rewritten(doing: Doing, result: Any) -> bool:
    """Whether the whole span was written anew: then the tables are right, whatever was wrong with them."""
    if isinstance(result, MatomoFnError) or doing.what != "full_refresh":
        return False
    return bool(result.verdict is Verdict.COMPLETE)
