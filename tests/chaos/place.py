"""A connector on this machine that programs are run for, and what stands in its tables."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from fake_matomo import TOKEN
from matomo_fn.catalogue import REFERENCE_TABLES, SYNC_LOG, VISIT_ACTIONS, Catalogue, Column, ColumnType, Table
from matomo_fn.config.connector import read_connector
from matomo_fn.deadline import Deadline
from matomo_fn.redaction import redact
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.chaos.calls import Bounds
from tests.support.emulator import PROJECT, connect
from tests.support.server import ROOT
from tests.support.warehouses import contents, duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.config.connector import Connector
    from matomo_fn.warehouse.protocol import Warehouse

# Rows by table.
Contents = dict[str, list[tuple[Any, ...]]]
# What a run may end with: all done, some of it, a failure that it tells, and stopped by SIGTERM.
GOOD, TOLD = 0, frozenset({0, 1, 2, 3, 4, 5, 128 + signal.SIGTERM})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit code (the signal's number below zero), and what it wrote to standard error."""

    code: int
    log: str

    @property
    def problems(self) -> list[str]:
        """What no run may write or end with, whatever Matomo does."""
        found = []
        if self.code >= 0 and self.code not in TOLD:
            found.append(f"a run ended with {self.code}: {self.log[-2000:]}")
        for sign in ("Traceback", "unforeseen_error", TOKEN):
            if sign in self.log:
                at = self.log.index(sign)
                found.append(f"a run wrote {sign}: {self.log[max(0, at - 500) : at + 1500]}")
        return found


@dataclass
class Place:
    """A connector: its secrets, its warehouse, and the runs that are made for it.

    Attributes:
        folder: where its files are; made if it is not there.
        matomo_url: what the configuration has.
        config: more of the configuration.
        emulator: the url of a BigQuery emulator; without it the warehouse is a DuckDB file.
        name: of the connector.
        kept_raw: names of the fields that are kept as they are, in columns of JSON; see ``find_raw``.
    """

    folder: Path
    matomo_url: str
    config: Mapping[str, Any] = field(default_factory=dict)
    emulator: str = ""
    name: str = "shop"
    kept_raw: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for each in ("secrets", "temporary"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self, **keys: Any) -> None:
        """Write both secrets; ``keys`` go on top of the configuration."""
        secrets = self.folder / "secrets"
        # Renamed into its place, since a run may be reading it.
        written = secrets / f".{self.name}"
        written.write_text(json.dumps({"matomo_url": self.matomo_url, "sites": "all", **self.config, **keys}))
        written.rename(secrets / f"matomo-{self.name}-config")
        (secrets / f"matomo-{self.name}-token").write_text(TOKEN)

    @property
    def connector(self) -> Connector:
        """The connector as it is configured now."""
        return read_connector(self.name, (self.folder / "secrets" / f"matomo-{self.name}-config").read_text())

    @property
    def bounds(self) -> Bounds:
        """What the connector allows."""
        connector = self.connector
        return Bounds(connector.concurrency, connector.requests_per_minute, connector.timeout_seconds)

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the program."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        place = {"GOOGLE_CLOUD_PROJECT": PROJECT, "BIGQUERY_EMULATOR_HOST": self.emulator}
        if not self.emulator:
            place = {"MATOMO_FN_WAREHOUSE": f"duckdb:{self.file}"}
        return {
            **kept,
            **place,
            "MATOMO_FN_SECRETS": str(self.folder / "secrets"),
            "MATOMO_FN_LOG_FORMAT": "json",
            "MATOMO_FN_BUFFER_MEGABYTES": "1",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.folder / "temporary"),
        }

    def start(self, *arguments: str) -> Program:
        """Start a run as a program of its own."""
        command = [sys.executable, "-W", "error", "-m", "matomo_fn", "sync", self.name, *arguments]
        log = self.folder / f"log-{time.monotonic_ns()}"
        with log.open("wb") as stream:
            popen = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        return Program(popen, log)

    def sync(self, *arguments: str) -> Ended:
        """Run to the end."""
        return self.start(*arguments).wait()

    def forget(self) -> None:
        """Begin with no DuckDB file again; an emulator is cleared by the one who started it."""
        for each in self.folder.glob("warehouse.duckdb*"):
            each.unlink()

    @contextlib.contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """Open the warehouse, which no program has open."""
        opened: Warehouse = DuckDBWarehouse(self.file, self.connector.dataset_name)
        if self.emulator:
            opened.close()
            client = connect(self.emulator)
            name = self.connector.dataset_name
            opened = BigQueryWarehouse(client, name, location="EU", run_id="chaos", deadline=Deadline())
        try:
            yield opened
        finally:
            opened.close()

    def contents(self, *, plain: bool = False) -> Contents:
        """All rows of the data and reference tables, without runs and times.

        ``plain``: without nested columns and JSON, which the emulator gives back as other types than were put into it;
        the actions of visits as their view has them.
        """
        plain = plain or bool(self.emulator)
        connector = self.connector
        with self.warehouse() as warehouse:
            tables = list(connector.catalogue.values())
            found = contents(warehouse, connector.tables, Catalogue(map(_plain, tables) if plain else tables))
            if plain and connector.visits:
                names = ", ".join(f"t.{column.name}" for column in _readable(VISIT_ACTIONS.schema.columns))
                rows = warehouse.query(f"select {names} from {sql.table_name(warehouse.dataset, VISIT_ACTIONS.name)} t")
                found[VISIT_ACTIONS.name] = sorted((tuple(row.values()) for row in rows), key=repr)
            for table in connector.references:
                columns = ", ".join(f"t.{column.name}" for column in REFERENCE_TABLES[table.name].staged)
                rows = warehouse.query(f"select {columns} from {sql.table_name(warehouse.dataset, table.name)} t")
                found[table.name] = sorted((tuple(row.values()) for row in rows), key=repr)
            return found

    def find_raw(self) -> None:
        """Look which fields of visits and their actions are kept as they are, whatever type they have."""
        with self.warehouse() as warehouse:
            rows = list(
                warehouse.query(f"select t.raw, t.actions from {sql.table_name(warehouse.dataset, 'visits')} t")
            )
        raws = [row["raw"] for row in rows] + [action["raw"] for row in rows for action in row["actions"]]
        values = [json.loads(raw) if isinstance(raw, str) else raw for raw in raws if raw]
        self.kept_raw = frozenset(name for value in values for name in value)

    def wrong_slices(self) -> list[str]:
        """Return a sentence for each slice that is not whole: not of one run, or not what the log says of it."""
        connector = self.connector
        found: list[str] = []
        with self.warehouse() as warehouse:
            logged = self._logged(warehouse)
            for name in connector.tables:
                table = connector.catalogue[name]
                segment = "t.segment" if table.has_segment else "''"
                rows = warehouse.query(
                    f"select t.date, t.website_id, {segment} as segment, count(*) as row_count, "
                    "min(t._run_id) as first_run, max(t._run_id) as last_run "
                    f"from {sql.table_name(warehouse.dataset, name)} t group by 1, 2, 3"
                )
                there = {(name, row["website_id"], row["segment"], row["date"]): row for row in rows}
                for key, row in there.items():
                    if row["first_run"] != row["last_run"]:
                        found.append(f"{key} has rows of two runs")
                    state = logged.get(key)
                    if state is None or (state["row_count"], state["written_run_id"]) != (
                        row["row_count"],
                        row["first_run"],
                    ):
                        found.append(f"{key} has {dict(row)}, and the log says {state and dict(state)}")
                found += [
                    f"{key} has no rows, and the log says {dict(state)}"
                    for key, state in logged.items()
                    if key[0] == name and state["row_count"] and key not in there
                ]
            found += [
                f"twice in a table: {dict(row)}" for row in duplicates(warehouse, connector.tables, connector.catalogue)
            ]
            found += [
                f"{key} is {state['status']}: {state['error']}"
                for key, state in logged.items()
                if state["status"] not in ("written", "unchanged")
            ]
        return found

    def _logged(self, warehouse: Warehouse) -> dict[tuple[str, str, str, Any], Mapping[str, Any]]:
        columns = ("table_name", "website_id", "segment", "date", "status", "row_count", "written_run_id", "error")
        assert set(columns) <= set(SYNC_LOG.column_names)
        state = sql.table_name(warehouse.dataset, "_sync_state")
        rows = warehouse.query(f"select {', '.join(columns)} from {state}")
        return {(row["table_name"], row["website_id"], row["segment"] or "", row["date"]): row for row in rows}

    def left_behind(self) -> list[str]:
        """Return what no quiet run leaves on this machine or in the file: temporary folders and staging tables."""
        found = [f"temporary: {each.name}" for each in (self.folder / "temporary").iterdir()]
        if not self.emulator:
            with duckdb.connect(str(self.file), read_only=True) as connection:
                tables = connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
            dataset = self.connector.dataset_name
            found += [name for schema, name in tables if schema == dataset and name.startswith("_staging_")]
        return found


@dataclass(frozen=True, slots=True)
class Program:
    """A run that was started."""

    popen: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float | None = None) -> Ended:
        """Wait until it has ended; raise TimeoutExpired when the time is over."""
        code = self.popen.wait(seconds)
        return Ended(code, redact_nothing(self.log.read_text(encoding="utf-8", errors="replace")))

    def kill(self, number: signal.Signals) -> Ended:
        """Send a signal and wait until it has ended."""
        self.popen.send_signal(number)
        return self.wait()


def _plain(table: Table) -> Table:
    """Return a table without nested columns and JSON."""
    return replace(table, dimensions=_readable(table.dimensions), metrics=_readable(table.metrics))


def _readable(columns: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(column for column in columns if not column.fields and column.type is not ColumnType.JSON)


def redact_nothing(text: str) -> str:
    """Return a text as it is, and be sure that this process has no secrets that would be taken out of it."""
    assert redact(text) == text
    return text


def differences(found: Contents, expected: Contents) -> list[str]:
    """Return a sentence for each table that differs; days behind the expected ones may have come since."""
    sentences = []
    for name in expected.keys() | found.keys():
        rows = found.get(name, [])
        if name not in REFERENCE_TABLES:
            rows = _not_later(rows, expected.get(name, []))
        there, wanted = Counter(map(_shown, rows)), Counter(map(_shown, expected.get(name, [])))
        more, less = there - wanted, wanted - there
        if more or less:
            shown = f"{sorted(more)[:2]}, {less.total()} rows too few {sorted(less)[:2]}"
            sentences.append(f"{name}: {more.total()} rows too many {shown}")
    return sentences


def _shown(row: tuple[Any, ...]) -> str:
    """Return a row as text; the same time reads the same, whichever library made it."""
    return repr([value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in row])


def _not_later(rows: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    newest: dict[str, Any] = defaultdict(lambda: None)
    for row in expected:
        day, site = row[0], row[1]
        newest[site] = max(newest[site] or day, day)
    return [row for row in rows if newest[row[1]] is None or row[0] <= newest[row[1]]]
