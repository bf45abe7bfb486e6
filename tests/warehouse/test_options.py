"""Options of a connector: partition filters, retention of visits, a key of one's own, and what expires by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import bigquery

from matomo_fn.catalogue import PREBUILT, VISITS
from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.request import read_request
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, SchemaMismatch
from matomo_fn.sites import Site
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, window_of
from matomo_fn.sync.state import Snapshot
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, Options, connect
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.tables import ensure_table
from tests.support.proxy import Answer, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy

COUNTRIES = PREBUILT["countries"]
KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
OTHER_KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/other"
DAY_MS = 24 * 60 * 60 * 1000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def connector(**keys: Any) -> Connector:
    """A connector with some keys."""
    config = {"matomo_url": "https://matomo.example.com", "sites": "all", "visits": True, **keys}
    return read_connector("shop", json.dumps(config))


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """What stands between the client and the emulator."""
    with proxied(emulator.address) as running:
        yield running


def opened(proxy: Proxy, dataset: str, kms_key: str = "") -> BigQueryWarehouse:
    """A dataset behind the proxy."""
    warehouse = BigQueryWarehouse(
        connect("test", proxy.url),
        dataset,
        location="EU",
        run_id="r1",
        deadline=Deadline(60),
        options=Options("shop", kms_key),
    )
    warehouse.ensure_dataset()
    return warehouse


def sent(proxy: Proxy, method: str) -> list[dict[str, Any]]:
    """What was sent to create (POST) or change (PATCH) tables."""
    return [json.loads(r.body) for r in proxy.requests if r.method == method and "/tables" in r.path]


# --- on creation, and later --------------------------------------------------------------------------------


def test_a_table_is_created_with_the_options(proxy: Proxy, dataset_name: str) -> None:
    """Only visits are deleted after some days; every table asks for days, and has the key."""
    own = connector(visits={"retention_days": 90}, require_partition_filter=True, kms_key=KEY)
    warehouse = opened(proxy, dataset_name, own.kms_key)
    for table in (COUNTRIES, VISITS):
        ensure_table(warehouse, own.schema_of(table), "day")
    countries, visits = sent(proxy, "POST")
    assert visits["timePartitioning"] == {"type": "DAY", "field": "date", "expirationMs": str(90 * DAY_MS)}
    assert countries["timePartitioning"] == {"type": "DAY", "field": "date"}
    for body in (countries, visits):
        assert body["requirePartitionFilter"] is True
        assert body["encryptionConfiguration"] == {"kmsKeyName": KEY}


def test_a_month_is_deleted_once_its_last_day_is_old_enough(proxy: Proxy, dataset_name: str) -> None:
    """Its partition goes as a whole, counted from its first day."""
    own = connector(visits={"retention_days": 90})
    ensure_table(opened(proxy, dataset_name), own.schema_of(VISITS), "month")
    (visits,) = sent(proxy, "POST")
    assert visits["timePartitioning"]["expirationMs"] == str((90 + 31) * DAY_MS)


def test_a_table_that_exists_gets_the_options_by_one_patch(proxy: Proxy, dataset_name: str) -> None:
    """Also a key in place of another one; a second time nothing is sent."""
    before = connector(visits={"retention_days": 400}, kms_key=OTHER_KEY)
    ensure_table(opened(proxy, dataset_name, before.kms_key), before.schema_of(VISITS), "day")
    after = connector(visits={"retention_days": 90}, require_partition_filter=True, kms_key=KEY)
    warehouse = opened(proxy, dataset_name, after.kms_key)
    ensure_table(warehouse, after.schema_of(VISITS), "day")
    assert sent(proxy, "PATCH") == [
        {
            "requirePartitionFilter": True,
            "timePartitioning": {"type": "DAY", "field": "date", "expirationMs": str(90 * DAY_MS)},
            "encryptionConfiguration": {"kmsKeyName": KEY},
        }
    ]
    ensure_table(warehouse, after.schema_of(VISITS), "day")
    assert len(sent(proxy, "PATCH")) == 1


def test_options_that_are_not_set_leave_a_table_as_it_is(proxy: Proxy, dataset_name: str) -> None:
    """What an administrator set by hand stays."""
    by_hand = connector(visits={"retention_days": 400}, require_partition_filter=True)
    warehouse = opened(proxy, dataset_name)
    ensure_table(warehouse, by_hand.schema_of(VISITS), "day")
    ensure_table(warehouse, connector().schema_of(VISITS), "day")
    assert sent(proxy, "PATCH") == []


def test_a_table_under_googles_own_key_is_refused_where_a_key_is_set(proxy: Proxy, dataset_name: str) -> None:
    """BigQuery changes a key for another by an update, but puts the first one in place only by a copy."""
    ensure_table(opened(proxy, dataset_name), COUNTRIES.schema, "day")
    with pytest.raises(SchemaMismatch) as caught:
        ensure_table(opened(proxy, dataset_name, KEY), COUNTRIES.schema, "day")
    name = f"test:{dataset_name}.countries"
    assert f"`bq cp -f --destination_kms_key={KEY} {name} {name}`" in str(caught.value)


def test_loads_and_results_of_queries_have_the_key(proxy: Proxy, dataset_name: str) -> None:
    """Staging tables and the temporary tables of results hold the same rows."""
    warehouse = opened(proxy, dataset_name, KEY)
    proxy.requests.clear()
    warehouse.create_staging(replace(COUNTRIES.schema, name="_staging_countries_r1_1", partitioned=False))
    warehouse.query("select 1 as one")
    (table,) = sent(proxy, "POST")
    assert table["encryptionConfiguration"] == {"kmsKeyName": KEY}
    (job,) = (json.loads(r.body) for r in proxy.requests if r.path.split("?")[0].endswith("/jobs"))
    assert job["configuration"]["query"]["destinationEncryptionConfiguration"] == {"kmsKeyName": KEY}


# --- what expires by itself --------------------------------------------------------------------------------


def test_a_default_expiration_of_the_dataset_is_said(proxy: Proxy, emulator: Emulator, dataset_name: str) -> None:
    """Tables or days would vanish, and the log would say that they are there."""
    opened(proxy, dataset_name)

    def expiring(answer: Answer) -> Answer:
        body = {**json.loads(answer.body), "defaultTableExpirationMs": str(60 * DAY_MS)}
        body["defaultPartitionExpirationMs"] = str(DAY_MS)
        return replace(answer, body=json.dumps(body).encode())

    warehouse = opened(proxy, dataset_name)
    assert warehouse.dataset_warnings() == []
    proxy.alter(expiring, when=lambda r: r.method == "GET" and f"/datasets/{dataset_name}?" in r.path)
    tables, days = warehouse.dataset_warnings()
    assert f"dataset test.{dataset_name} has a default expiration: new tables are deleted after 60 days" in tables
    assert f"`bq update --default_table_expiration=0 test:{dataset_name}`" in tables
    assert "the days of new tables are deleted after 1 day," in days
    table = bigquery.Table(f"test.{dataset_name}.countries", schema=[bigquery.SchemaField("date", "DATE")])
    table.time_partitioning = bigquery.TimePartitioning("DAY", field="date", expiration_ms=60 * DAY_MS)
    table.expires = datetime(2027, 1, 1, tzinfo=UTC)
    emulator.client().create_table(table)
    found = warehouse.find_table("countries")
    assert found is not None
    assert [sentence.partition(":")[0] for sentence in found.warnings] == [
        "table countries is deleted on 2027-01-01",
        "table countries keeps its days for 60 days",
    ]


def test_a_dataset_that_is_not_there_has_nothing_to_say(proxy: Proxy, dataset_name: str) -> None:
    """As `check` finds it before the first sync."""
    warehouse = BigQueryWarehouse(
        connect("test", proxy.url), dataset_name, location="EU", run_id="r1", deadline=Deadline(60)
    )
    assert warehouse.dataset_warnings() == []


# --- retention ---------------------------------------------------------------------------------------------


def test_duckdb_deletes_visits_that_are_too_old(tmp_path: Path) -> None:
    """Where no partition expires, a sync deletes them; other tables keep their rows."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    warehouse.ensure_dataset()
    own = connector(visits={"retention_days": 30})
    for table in (VISITS, COUNTRIES):
        ensure_table(warehouse, own.schema_of(table), "day")
    for age in (29, 30, 400):
        moment = "current_timestamp(), current_timestamp(), current_timestamp(), 'r1'"
        warehouse.run(
            "insert into `d.visits` (date, website_id, visit_id, first_action_at, last_action_at, _synced_at, _run_id) "
            f"select date_sub(current_date(), interval {age} day), '1', {age}, {moment}",
            "x",
        )
    ensure_table(warehouse, own.schema_of(VISITS), "day")
    left = warehouse.query("select visit_id from `d.visits` order by visit_id")
    warehouse.close()
    assert [row["visit_id"] for row in left] == [29]


def test_visits_that_would_be_deleted_at_once_are_not_fetched() -> None:
    """Reports are, for all of the window; a partition that the clock in UTC ends within a day counts as deleted."""
    own = connector(visits={"retention_days": 30}, backfill_days=365, reports=["countries"])
    site = Site("1", "Shop", UTC, date(2020, 1, 1))
    window = window_of(site, read_request({"connector": "shop"}), own, NOW)
    assert window is not None
    plan = make_plan(Scope(own.catalogue, (window,), (5, 2), ()), Snapshot())
    first = {due.stream.table: due.days.first for due in plan.due}
    assert first == {
        "countries": NOW.date() - timedelta(days=365),
        "visits": NOW.date() - timedelta(days=30) + timedelta(days=2),
    }


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"kms_key": "my-key"}, "kms_key: 'my-key' is not a key: it reads projects/PROJECT/locations/"),
        ({"visits": {"retention_days": 4}}, "visits.retention_days has to be 5 or more, not 4: the last 3 days"),
        ({"visits": {"retention_days": 0}}, "visits.retention_days has to be 1 or more, not 0"),
        ({"maximum_bytes_billed": 1000}, "maximum_bytes_billed has to be 10485760 or more, not 1000"),
        ({"require_partition_filter": "yes"}, 'require_partition_filter has to be true or false, not "yes"'),
    ],
)
def test_options_that_cannot_work_are_refused(keys: dict[str, Any], sentence: str) -> None:
    """By the key, with what it has to be."""
    with pytest.raises(InputError) as caught:
        connector(**keys)
    assert sentence in str(caught.value)
