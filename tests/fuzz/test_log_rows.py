"""A log that somebody has written into: it may cost a refetch or an error, and never a slice or a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn.catalogue import SYNC_LOG, SYNC_RUNS, ColumnType
from tests.fuzz.doing import DOINGS, Doing, do
from tests.fuzz.fuzzing import fuzzed, nothing_unforeseen
from tests.fuzz.place import TABLES, Place, half_written, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = {
    ColumnType.STRING: (
        *(
            "''",
            "' '",
            "'x'",
            "'written'",
            "'WRITTEN'",
            "'unchanged'",
            "'pending'",
            "'failed'",
            "'open'",
            "'é\U0001f600'",
        ),
        *("'shop'", "'blog'", "'https://blog.example.org/'", "'1'", "'01'", "'-1'", "'999999999999999999999'"),
        *("'visits'", "'visits_summary'", "'no_such_table'", "'_sync_log'", "'a b'", "'a`b'", "'a''b'", "'a\\b'"),
        *("'day'", "'week'", "'year'", "'range'", "'decade'", "'mobile'", "'incremental'", "'complete'", "'sideways'"),
        *("repeat('x', 5000)", "chr(10)", "'\u202e'", "'run0001'", "'run0002'", "'0' || repeat('f', 63)"),
    ),
    ColumnType.INT64: ("0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808"),
    ColumnType.BOOL: ("true", "false"),
    ColumnType.DATE: (
        *("date '2026-11-17'", "date '2026-11-18'", "date '2026-11-19'", "date '2026-11-21'", "date '2024-02-29'"),
        *("date '0001-01-01'", "date '1899-12-31'", "date '1970-01-01'", "date '9999-12-31'", "date '2999-01-01'"),
        *("date 'infinity'", "date '-infinity'", "date '20000-01-01'", "date '0044-03-15 (BC)'"),
    ),
    ColumnType.TIMESTAMP: (
        *("timestamptz '2026-11-19 12:00:00+00'", "timestamptz '2026-11-22 12:00:00+00'", "timestamptz '1970-01-01'"),
        *("timestamptz '0001-01-01'", "timestamptz '9999-12-31 23:59:59+00'", "timestamptz 'infinity'"),
        *("timestamptz '-infinity'", "timestamptz '20000-01-01'", "timestamptz '0044-03-15 (BC)'"),
    ),
}
WHICH = (
    *("true", "date = date '2026-11-18'", "table_name = 'visitor_country'", "table_name = 'visits_summary'"),
    *("table_name = 'visits'", "random() < 0.3"),
)


@st.composite
def changes(draw: st.DrawFn) -> list[str]:
    """Statements that change one of the two logs; of a dataset that is written as %s."""
    log = draw(st.sampled_from([SYNC_LOG, SYNC_LOG, SYNC_LOG, SYNC_RUNS]))
    at = f"%s.{log.name}"
    which = "true" if log is SYNC_RUNS else draw(st.sampled_from(WHICH))
    columns = draw(st.lists(st.sampled_from(log.columns), min_size=1, max_size=3, unique_by=lambda each: each.name))
    values = {column.name: draw(st.sampled_from(("null", *VALUES[column.type]))) for column in columns}
    relaxed = [f'alter table {at} alter "{name}" drop not null' for name, value in values.items() if value == "null"]
    assignments = ", ".join(f'"{name}" = {value}' for name, value in values.items())
    replaced = ", ".join(f'{value} as "{name}"' for name, value in values.items())
    newer = "logged_at + interval 1 hour as logged_at"
    return draw(
        st.sampled_from(
            [
                [*relaxed, f"update {at} set {assignments} where {which}"],
                [*relaxed, f"insert into {at} select * replace ({replaced}) from {at} where {which}"],
                [
                    *relaxed,
                    f"insert into {at} select * replace ({replaced}, {newer}) from {at} where {which}"
                    if log is SYNC_LOG and "logged_at" not in values
                    else f"insert into {at} from {at}",
                ],
                [f"delete from {at} where {which}"],
                [f"insert into {at} from {at} where {which}"],
            ]
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with nothing_unforeseen(), opened(tmp_path_factory.mktemp("log")) as running:
        yield running


@fuzzed(6)
@example(
    [['update %s._sync_runs set "shards" = 9223372036854775807, "continuation" = 3 where true']],
    Doing("status", ("visits_summary",)),
)
@example(
    [["update %s._sync_log set \"error\" = ' ', status = 'failed' where true"]], Doing("status", ("visits_summary",))
)
@example(
    [["update %s._sync_log set \"error\" = repeat('x', 5000), status = 'failed', is_final = false where true"]],
    Doing("status", ("visits_summary",)),
)
@given(st.lists(changes(), min_size=1, max_size=3), DOINGS)
def test_a_log_that_somebody_wrote_into_costs_no_row(place: Place, statements: list[list[str]], doing: Doing) -> None:
    """What the log is believed is not written anew; what is written is whole."""
    place.reset()
    place.spoil(*(part.replace("%s", place.dataset) for each in statements for part in each))
    before = {table: place.rows(table) for table in TABLES}
    do(place, doing)
    for table in TABLES:
        was, now = before[table], place.rows(table)
        assert was is not None
        assert now is not None
        broken = half_written(was, now, place.right[table])
        assert not broken, (table, broken)
