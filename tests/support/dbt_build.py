"""The dbt package, built on the sample Matomo: without visits, on empty tables, on two weeks, and on changed days."""

from __future__ import annotations

import fcntl
import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb

from fake_matomo import FakeMatomo, default_world
from tests.support import dbt
from tests.support.local import days, local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fake_matomo import Visit, World

DATASET = "matomo_shop"
# Paris with a shop, New York without visits, Kolkata with a shop, and Auckland without goals or orders.
SITES = (1, 3, 4, 5)
FIRST = date(2026, 11, 2)
# The first runs are at this time, the next one two days later, and the last ones after one more day.
NOW = datetime(2026, 11, 14, 12, tzinfo=UTC)
UNTOUCHED, CHANGED, VANISHED = date(2026, 11, 5), date(2026, 11, 7), date(2026, 11, 9)
# The day of visits that Matomo never has, but a table may.
ODD = date(2026, 12, 1)
MARTS = (
    "sessions",
    "conversions",
    "channel_attribution",
    "landing_pages",
    "funnel",
    "retention",
    "revenue",
    "product_revenue",
)
Table = dict[tuple[Any, ...], tuple[Any, ...]]

# dbt looks up whether a model was built before, which takes a connection.
_IS_INCREMENTAL = "{% macro is_incremental() %}{{ return(model.config.materialized == 'incremental') }}{% endmacro %}"
# Each condition that a step of the funnel may have, with texts that have to be quoted.
_CONDITIONS = r"""{'name': 'all', 'type': "it's", 'url_matches': "\\d+'[/\\\\]$", 'title_matches': 'é',
    'event_category': '"', 'event_action': '\n', 'event_name': '`', 'search_keyword': '%',
    'goal_id': 1, 'product': true}"""
# What the incremental models run beside their query; `this` is the table that it stands for.
_STATEMENTS = {
    "conditions": f"select {{{{ matomo.funnel_condition({_CONDITIONS}) }}}} as is_step "
    "from {{ ref('stg_matomo__visit_actions') }} a",
} | {
    name: "{{ config(materialized='incremental') }}{% set built = ref('matomo__sessions') %}"
    f"{{{{ matomo.{call}.replace(this.identifier, built.identifier) }}}}"
    for name, call in {
        "due": "earliest_written_day()",
        "vanished_visits": "delete_vanished_days('visits')",
        "vanished_conversions": "delete_vanished_days('conversions')",
        "vanished_items": "delete_vanished_days('items')",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Built:
    """The warehouse after the last build, the Matomo behind it, and what dbt said and left.

    Attributes:
        matomo: the sample as it is in the end; it does not serve.
        connection: the DuckDB file.
        answers: how each command ended.
        manifest: dbt's, of the build on DuckDB.
        catalog: the columns of the tables, as dbt found them.
        compiled: the nodes as they are compiled for a later build on BigQuery.
    """

    matomo: FakeMatomo
    connection: duckdb.DuckDBPyConnection
    answers: Mapping[str, dbt.Answer]
    manifest: Mapping[str, Any]
    catalog: Mapping[str, Any]
    compiled: Mapping[str, Any]

    def visits(self) -> list[Visit]:
        """All visits, as Matomo has them in the end."""
        return [
            visit
            for site in self.matomo.world.sites
            if site.id in SITES
            for day in days(FIRST, self.matomo.now().astimezone(ZoneInfo(site.timezone)).date() - timedelta(days=1))
            for visit in self.matomo.visits(site.id, day)
        ]

    def table(self, query: str) -> Table:
        """The rows of a query by its first columns, which it names in ``group by``."""
        keys = len(query.partition("group by ")[2].split(","))
        rows = self.connection.execute(query).fetchall()
        found = {row[:keys]: row[keys:] for row in rows}
        assert len(found) == len(rows) > 0
        return found


@contextmanager
def built_once(folder: Path) -> Iterator[Built]:
    """Build in a folder that the workers of a test run share, or open what another one has built there."""
    folder.mkdir(exist_ok=True)
    place, told = folder / "shop", folder / "answers.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            shutil.rmtree(place, ignore_errors=True)
            answers = _build(place, folder / "matomo.duckdb")
            told.write_text(json.dumps({name: asdict(answer) for name, answer in answers.items()}))
    read = {name: json.loads((place / f"{name}.json").read_text()) for name in ("manifest", "catalog", "compiled")}
    answers = {name: dbt.Answer(**answer) for name, answer in json.loads(told.read_text()).items()}
    matomo = FakeMatomo(_world())
    for change in (_two_days_later, _changed):
        change(matomo)
    with duckdb.connect(str(folder / "matomo.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield Built(matomo, connection, answers, read["manifest"], read["catalog"], read["compiled"]["nodes"])


def _world() -> World:
    world = default_world(NOW)
    # Few enough visits for a sync of seconds, and enough for conversions by each channel.
    return replace(
        world,
        sites=tuple(
            replace(site, created=max(site.created, FIRST), visits_per_day=min(site.visits_per_day, 24))
            for site in world.sites
        ),
    )


def _two_days_later(matomo: FakeMatomo) -> None:
    matomo.advance(timedelta(days=2))


def _changed(matomo: FakeMatomo) -> None:
    matomo.change(1, CHANGED)
    for site in SITES:
        matomo.change(site, VANISHED, to_empty=True)
    matomo.advance(timedelta(days=1))


def _build(place: Path, database: Path) -> dict[str, dbt.Answer]:
    database.unlink(missing_ok=True)
    config = {
        "visits": True,
        "reports": ["visits_summary", "acquisition_channel_type"],
        "reference_tables": True,
        "backfill_days": 30,
    }
    answers = {}
    with FakeMatomo(_world()) as matomo, dbt.project(place, database, DATASET) as project:
        assert project.run("deps").success
        with local(matomo, database, sites=["3"], **config | {"visits": False}) as connector:
            connector.sync()
        answers["reports"] = project.run("run", variables={"matomo_visits": False})
        answers["missing"] = project.run("run")
        with local(matomo, database, sites=["3"], **config) as connector:
            connector.sync()
        answers["empty"] = project.run("run")
        assert _counts(database) == dict.fromkeys(MARTS, 0)
        with local(matomo, database, sites=list(map(str, SITES)), **config) as connector:
            connector.close()  # dbt wants the file for itself; each sync opens and closes it
            connector.sync()
            _two_days_later(matomo)
            connector.sync()
            answers["first"] = project.run("run")
            _changed(matomo)
            connector.sync()
            connector.sync(mode="sweep", days=30)
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"update analytics.matomo__sessions set city = 'kept' where date = '{UNTOUCHED}'")
        _add_odd_visits(database)
        answers["second"] = project.run("build")
        answers["docs"] = project.run("docs", "generate")
        for name in ("manifest", "catalog"):
            shutil.copy(place / "target" / f"{name}.json", place)
        _compile_for_bigquery(project)
        shutil.copy(place / "target" / "manifest.json", place / "compiled.json")
    return answers


def _compile_for_bigquery(project: dbt.Project) -> None:
    # As of a later build; BigQuery is not asked what it has.
    project.write("macros/is_incremental.sql", _IS_INCREMENTAL)
    for name, statement in _STATEMENTS.items():
        project.write(f"models/{name}.sql", statement)
    answer = project.run("compile", "--target", "bigquery", "--no-introspect", "--no-populate-cache")
    assert answer.success, answer.text


def _counts(database: Path) -> dict[str, int]:
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = [connection.execute(f"select count(*) from analytics.matomo__{mart}").fetchall()[0] for mart in MARTS]
    return {mart: count for mart, (count,) in zip(MARTS, rows, strict=True)}


def _add_odd_visits(database: Path) -> None:
    # Without actions, or a channel, or a visitor; and one whose conversions have neither time nor revenue.
    changes = (
        "null as actions, null as action_count",
        "[] as actions, null as referrer_type",
        "list_transform(actions, lambda a: struct_update(a, revenue := cast(null as double), "
        "occurred_at := cast(null as timestamptz))) as actions",
    )
    with duckdb.connect(str(database)) as connection:
        for number, change in enumerate(changes, 1):
            connection.execute(
                f"""insert into {DATASET}.visits by name
                select * replace (date '{ODD}' as date, {number} as visit_id, null as visitor_id, {change})
                from {DATASET}.visits where website_id = '1' and order_count = 1 order by visit_id limit 1"""
            )
        connection.execute(
            f"""insert into {DATASET}._sync_log by name select * replace (date '{ODD}' as date)
            from {DATASET}._sync_log where table_name = 'visits' and status = 'written'
            order by logged_at desc limit 1"""
        )
