"""Integers that a double does not hold arrive exactly, by the way that BigQuery documents."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from matomo_fn.catalogue import PREBUILT
from matomo_fn.extract.report_rows import parse_slice
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.slices import Slice, Stream
from matomo_fn.values import as_staged_integer
from matomo_fn.warehouse.buffer import Buffer
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.visits import a_visit
from tests.support.warehouses import rows_of

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = PREBUILT["actions_summary"]
DAY = date(2026, 11, 16)
NOON = 1_794_830_400
EXACT = 2**53 - 1


@pytest.mark.parametrize("value", [0, -1, 7, EXACT, -EXACT])
def test_what_a_double_holds_is_a_number(value: int) -> None:
    """As it was; a text of digits becomes one."""
    assert as_staged_integer(value) == as_staged_integer(str(value)) == value


@pytest.mark.parametrize("value", [EXACT + 1, -EXACT - 1, EXACT + 2, 2**63 - 1, -(2**63)])
def test_what_a_double_does_not_hold_is_a_string(value: int) -> None:
    """BigQuery would read the number as the nearest double."""
    assert as_staged_integer(value) == as_staged_integer(str(value)) == str(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_what_64_bits_do_not_hold_is_refused(value: int) -> None:
    """No column could hold it."""
    with pytest.raises(ValueError, match="more than 64 bits hold"):
        as_staged_integer(value)


def test_a_large_count_of_a_report_arrives_exactly(tmp_path: Path) -> None:
    """It is staged as a string, and the table has the integer."""
    large = 2**53 + 1
    parsed = parse_slice(SUMMARY, [(SUMMARY.sources[0], {"nb_pageviews": large, "nb_searches": EXACT})])
    slice_ = Slice(Stream(SUMMARY.name, "1"), DAY)
    with Buffer(tmp_path / "rows.gz") as buffer:
        buffer.add(slice_, parsed.lines)
        buffer.close()
        (line,) = gzip.decompress(buffer.path.read_bytes()).splitlines()
        assert json.loads(line)["nb_pageviews"] == str(large)
        assert json.loads(line)["nb_searches"] == EXACT
        warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
        warehouse.ensure_dataset()
        ensure_table(warehouse, SUMMARY.schema, "day")
        replace_slices(
            warehouse, SUMMARY, [buffer.path], {slice_: 1}, Stamp("r1", 1, datetime(2026, 11, 20, tzinfo=UTC))
        )
    row = dict(zip([c.name for c in SUMMARY.columns], rows_of(warehouse, SUMMARY)[0], strict=False))
    warehouse.close()
    assert row["nb_pageviews"] == large
    assert row["nb_searches"] == EXACT


def test_a_large_integer_of_a_visit_is_staged_as_a_string() -> None:
    """Its own number, its counts, and the fields of its actions."""
    large = 2**60 + 1
    visit = a_visit(large, NOON, events=large)
    visit["actionDetails"] = [{"type": "action", "timestamp": NOON, "timeSpent": large}]
    row = json.loads(VisitParser(UTC).parse(visit).line)
    assert (row["visit_id"], row["event_count"], row["actions"][0]["time_spent"]) == (str(large),) * 3
