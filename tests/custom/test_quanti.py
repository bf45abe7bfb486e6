"""The four examples of QUANTI's documentation, as its users have written them down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.custom.test_recordings import configured, run
from tests.support.recorded_matomo import RecordedMatomo, call_of, recorded_reports

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES: list[tuple[dict[str, Any], str]] = [
    (
        {"report": "VisitsSummary.get", "fields": "nb_visits,nb_uniq_visitors,nb_actions,bounce_rate,avg_time_on_site"},
        "custom_visits_summary",
    ),
    (
        {"report": "Events.getCategory", "flat": "1", "fields": "label,nb_events,nb_visits,sum_event_value"},
        "events_category",
    ),
    (
        {
            "report": "Referrers.getCampaigns",
            "flat": "1",
            "fields": "label,nb_visits,nb_uniq_visitors,nb_actions",
            "schema": {
                "label": {"type": "STRING", "identifier": True, "name": "campaign", "mode": "NULLABLE"},
                "nb_visits": {"type": "INTEGER", "identifier": False, "name": "visits", "description": "Visits."},
            },
        },
        "referrers_campaigns",
    ),
    (
        {"report": "Referrers.getReferrerType", "flat": "1", "fields": "label,nb_visits,revenue"},
        "referrers_referrer_type",
    ),
]


@pytest.mark.parametrize(("entry", "table"), EXAMPLES, ids=[name for _, name in EXAMPLES])
def test_the_example_works_as_it_is_written(entry: dict[str, Any], table: str, tmp_path: Path) -> None:
    """The rows of the recorded answer, in the fields that the example names, under the names that it gives."""
    warehouse = DuckDBWarehouse(tmp_path / "shop.duckdb", "matomo_shop")
    try:
        result = run(warehouse, configured([entry]), RecordedMatomo(flat=True))
        assert (result.as_dict()["status"], result.as_dict()["errors"]) == ("complete", [])
        rows = warehouse.query(f"select * from {table}")
    finally:
        warehouse.close()
    recordings = recorded_reports() | recorded_reports("flat_")
    answer = json.loads(recordings[call_of(entry["report"], entry)].body)
    raw = [answer] if isinstance(answer, dict) else answer
    assert len(rows) == len(raw) > 0
    names = {field: entry.get("schema", {}).get(field, {}).get("name", field) for field in entry["fields"].split(",")}
    assert set(names.values()) <= rows[0].keys()
    for field, name in names.items():
        found = sorted((plain(row[name]) for row in rows), key=str)
        assert found == sorted((plain(row.get(field)) for row in raw), key=str), field


def plain(value: Any) -> Any:
    """A number as a float, also where it is a text or a percentage."""
    if isinstance(value, str) and value[:-1].isdigit() and value.endswith("%"):
        return round(float(value[:-1]) / 100, 6)
    try:
        return round(float(value), 6)
    except (TypeError, ValueError):
        return value
