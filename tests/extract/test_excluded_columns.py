"""Columns that a connector leaves out: their values are stored nowhere, in no form and under no other name."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.catalogue import ACTION_FIELDS, EXCLUDABLE, VISITS, Column, ColumnType
from matomo_fn.config.connector import read_connector
from matomo_fn.errors import InputError
from matomo_fn.extract.visit_orders import order_totals
from tests.support.visits import METHOD, WORLD, LocalVisits, read_day, server_of

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = {ColumnType.INT64, ColumnType.FLOAT64}
LAST = 1_794_500_000


class Canaries:
    """A value for each of Matomo's fields that no other has, by the column that it belongs to."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.of: dict[str, list[str]] = {}
        self._count = 0

    def value(self, column: str, kind: ColumnType = ColumnType.STRING) -> Any:
        """A value for a column, remembered as it stands in JSON."""
        self._count += 1
        value: Any = 7_310_000 + self._count
        if kind is ColumnType.FLOAT64:
            value += 0.25
        if kind is ColumnType.TIME:
            value = f"{3 + self._count % 20:02}:47:{self._count % 60:02}"
        elif kind not in NUMBERS:
            value = f"canary{value}"
        self.of.setdefault(column, []).append(str(value))
        return value

    def fields(self, columns: tuple[Column, ...], path: str = "") -> dict[str, Any]:
        """Matomo's fields of columns that are read as they are."""
        plain = {"type", "occurred_at", "raw", "is_converted"}
        return {
            column.source: [self.value(path + column.name)]
            if column.repeated
            else self.value(path + column.name, column.type)
            for column in columns
            if column.source and not column.required and column.name not in plain and not column.fields
        }


def whole_visit() -> tuple[dict[str, Any], Canaries]:
    """A visit with a value in every field that has a column, in its copies, and in fields that go into raw."""
    canaries = Canaries()
    item = {"itemSKU": "", "itemName": "", "itemCategory": "", "price": 1, "quantity": 1, "categories": []}
    item |= {"itemSKU": canaries.value("actions.items"), "categories": [canaries.value("actions.items")]}
    action: dict[str, Any] = {"type": "action", "timestamp": LAST, **canaries.fields(ACTION_FIELDS, "actions.")}
    product = next(field for field in ACTION_FIELDS if field.name == "product")
    for field in product.fields:
        value = canaries.value("actions.product", field.type)
        action[field.source] = [value] if field.repeated else value
    action |= {
        "itemDetails": [item],
        "dimension2": canaries.value("actions.custom_dimensions"),
        "pageId": canaries.value("actions.raw", ColumnType.INT64),
    }
    visit: dict[str, Any] = {
        "idVisit": 1,
        "firstActionTimestamp": LAST,
        "lastActionTimestamp": LAST,
        "visitConverted": 1,
    }
    visit |= canaries.fields(VISITS.parsed)
    visit |= {
        "dimension1": canaries.value("custom_dimensions"),
        "customVariables": {
            "1": {"customVariableName1": canaries.value("custom_variables"), "customVariableValue1": "x"}
        },
        "siteName": canaries.value("raw"),
    }
    # What Matomo says a second time, for people or with a conversion.
    visit |= {"location": f"{visit['city']}, {visit['region']}, {visit['country']}"}
    visit |= {"operatingSystem": visit["operatingSystemName"], "browser": f"{visit['browserName']} 1"}
    visit |= {"visitDurationPretty": f"{visit['visitDuration']}s", "visitLocalHour": visit["visitLocalTime"][:2]}
    visit |= {"pluginsIcons": [{"pluginIcon": False, "pluginName": visit["plugins"][0]}]}
    action |= {"title": action["pageTitle"], "subtitle": action["url"], "timeSpentPretty": f"{action['timeSpent']}s"}
    conversion = {name: visit[name] for name in ("referrerType", "referrerName", "referrerKeyword")}
    visit["actionDetails"] = [action, {"type": "goal", "timestamp": LAST, **conversion}]
    return visit, canaries


def buffered(exclude: tuple[str, ...], folder: Path) -> bytes:
    """The bytes that are kept of that visit."""
    read = read_day(server_of([whole_visit()[0]]), folder, exclude=exclude)
    return gzip.decompress(read.buffer.path.read_bytes())


def test_without_exclusion_every_canary_is_kept(tmp_path: Path) -> None:
    """Otherwise their absence would prove nothing."""
    canaries = whole_visit()[1]
    kept = buffered((), tmp_path).decode()
    missing = {column: values for column, values in canaries.of.items() if not all(value in kept for value in values)}
    assert missing == {}
    untold = {"actions", "actions.occurred_at", "actions.content_interaction", "is_converted"}
    computed = order_totals([]).keys()
    assert canaries.of.keys() | untold | computed >= EXCLUDABLE - {"actions.items", "actions.product"}


@pytest.mark.parametrize("column", sorted(EXCLUDABLE))
def test_a_column_that_is_left_out_is_stored_nowhere(column: str, tmp_path: Path) -> None:
    """Not as a column, in raw, in an action or by a copy; and everything else is kept."""
    canaries = whole_visit()[1]
    kept = buffered((column,), tmp_path).decode()
    row = json.loads(kept)
    gone = [value for name, values in canaries.of.items() for value in values if _is_within(name, column)]
    for value in gone:
        assert value not in kept
    for name, values in canaries.of.items():
        if not _is_within(name, column):
            assert all(value in kept for value in values), name
    path = column.split(".")
    assert path[0] not in row if len(path) == 1 else all(path[1] not in action for action in row["actions"])


def _is_within(name: str, column: str) -> bool:
    return name == column or name.startswith(f"{column}.")


def test_all_of_them_left_out_together_leave_a_visit(tmp_path: Path) -> None:
    """Its number, its times, and nothing about anybody."""
    row = json.loads(buffered(tuple(sorted(EXCLUDABLE)), tmp_path))
    assert row.keys() == {"date", "website_id", "visit_id", "first_action_at", "last_action_at"}


def test_what_is_left_out_does_not_make_a_slice_look_changed(tmp_path: Path) -> None:
    """The hash is made of what is kept, so nobody can tell from it what was not."""
    visit = whole_visit()[0]
    hashes = {
        read_day(server_of([visit | {"visitIp": ip}]), tmp_path, exclude=("visit_ip",)).content_hash
        for ip in ("1.2.3.4", "5.6.7.8")
    }
    assert len(hashes) == 1


def test_a_field_that_is_left_out_is_not_read(tmp_path: Path) -> None:
    """So no value of it can stand in an error either."""
    visit = whole_visit()[0] | {"latitude": "canary-north"}
    assert read_day(server_of([visit]), tmp_path, exclude=("latitude",)).row_count == 1


def test_the_excluded_is_in_no_file_table_or_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A whole run: the DuckDB file with all its tables, the log of the program, its result."""
    secret = {"visitIp": "203.0.113.77", "userId": "canary@example.com", "referrerKeyword": "canary-keyword"}

    def mark(answer: object) -> object:
        assert isinstance(answer, list)
        marked = [{**visit, **secret} for visit in answer]
        for visit in marked:
            for action in visit.get("actionDetails", ()):
                action.update({"url": "https://canary.example.com/", "subtitle": "https://canary.example.com/"})
                if "referrerKeyword" in action:
                    action["referrerKeyword"] = secret["referrerKeyword"]
        return marked

    left_out = ["visit_ip", "user_id", "referrer_keyword", "actions.url"]
    with FakeMatomo(WORLD) as matomo:
        matomo.faults.add(Fault(method=METHOD, mutate=mark))
        path = tmp_path / "w.duckdb"
        local = LocalVisits(matomo, path, visits={"exclude": left_out})
        result = local.sync()
        rows = local.rows()
        local.close()
    assert len(rows) > 20
    assert {(row["visit_ip"], row["user_id"], row["referrer_keyword"]) for row in rows} == {(None, None, None)}
    assert {action["url"] for row in rows for action in row["actions"]} == {None}
    told = repr(rows) + repr(result.as_dict()) + "".join(capfd.readouterr())
    for value in (*secret.values(), "canary.example.com"):
        assert value not in told
        assert value.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("visit_ipp", "did you mean 'visit_ip'"),
        ("actions.urls", "did you mean 'actions.url'"),
        ("visitIp", "is no column of visits that can be left out"),
        ("visit_id", "is no column of visits that can be left out"),
        ("last_action_at", "is no column of visits that can be left out"),
        ("actions.type", "is no column of visits that can be left out"),
    ],
)
def test_a_name_that_cannot_be_left_out_is_refused(name: str, sentence: str) -> None:
    """With the nearest one that can: a column that is misspelled would be stored."""
    config = {"matomo_url": "https://m.example.com", "sites": "all", "visits": {"exclude": ["visit_ip", name]}}
    with pytest.raises(InputError) as raised:
        read_connector("shop", json.dumps(config))
    assert repr(name) in str(raised.value)
    assert sentence in str(raised.value)
