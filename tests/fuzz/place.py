"""A warehouse in memory that a run has filled, made as it was before each input; and Matomo's answers, remembered."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from hypothesis import event

from fake_matomo import FakeMatomo
from matomo_fn.config.settings import Settings, settings_from_environment
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.matomo.transport import HttpTransport
from matomo_fn.verdict import Verdict
from tests.support.canary import CANARY
from tests.support.local import Local, ago, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matomo_fn.matomo.transport import Reply, Transport

TABLES = ("visits_summary", "visitor_country", "visits")
FIRST, LAST = ago(3), ago(1)
SPAN: dict[str, Any] = {"start_date": FIRST, "end_date": LAST}
# DuckDB's name of a database in memory that the connections of a process share.
FILE = ":memory:fuzz"
_KEPT = "kept"

# The rows of a table by site and day, each row by the names of its columns.
Slices = dict[tuple[Any, Any], list[dict[str, Any]]]


class Remembering:
    """A transport that asks each call once; ``spoil`` changes what it then answers."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._replies: dict[tuple[str, tuple[tuple[str, str], ...]], Reply] = {}
        self.spoil: Callable[[str, Reply], Reply] = lambda _method, reply: reply

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Answer as the first time."""
        key = method, tuple(sorted(form.items()))
        if key not in self._replies:
            self._replies[key] = self._inner.post(method, form)
        return self.spoil(method, self._replies[key])

    def redact(self, text: str) -> str:
        """As the protocol has it."""
        return self._inner.redact(text)


class Shop(Local):
    """A connector whose Matomo answers each call once."""

    def __init__(self, matomo: FakeMatomo, path: Path, **config: Any) -> None:
        super().__init__(matomo, path, **config)
        url = self.connector.matomo_url
        self.remembering = Remembering(HttpTransport(url, Token(CANARY), timeout=30, deadline=Deadline()))

    def transport(self, deadline: Deadline) -> Transport:  # noqa: ARG002 - no run is stopped
        """Return the same one for every run."""
        return self.remembering


class Place:
    """What the inputs are tried on.

    Attributes:
        right: the rows that a run of the whole span writes, by table.
    """

    def __init__(self, shop: Shop, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self.shop = shop
        self.settings = settings
        self.right: dict[str, Slices] = {}
        self.connection = connection
        self.views: list[str] = []

    def __repr__(self) -> str:
        """Hypothesis prints what a test is called with."""
        return "Place()"

    @property
    def dataset(self) -> str:
        """The schema that the tables stand in."""
        return self.shop.warehouse.dataset

    def reset(self) -> None:
        """Make the warehouse as the first run has left it."""
        run = self.connection.execute
        run(f"drop schema if exists {self.dataset} cascade")
        run(f"create schema {self.dataset}")
        for (statement,) in run(f"select sql from duckdb_tables() where schema_name = '{_KEPT}'").fetchall():
            run(statement.replace(f"TABLE {_KEPT}.", f"TABLE {self.dataset}."))
        for (name,) in run(f"select table_name from duckdb_tables() where schema_name = '{_KEPT}'").fetchall():
            run(f'insert into {self.dataset}."{name}" from {_KEPT}."{name}"')
        for statement in self.views:
            run(statement)

    def spoil(self, *statements: str) -> int:
        """Run what somebody else does to the warehouse, as far as DuckDB takes it; return how many it took."""
        done = 0
        for statement in statements:
            try:
                self.connection.execute(statement)
                done += 1
                event(f"done: {statement[:24]}")
            except duckdb.Error:
                continue
        return done

    def rows(self, table: str) -> Slices | None:
        """The rows of a table or view by site and day; None where it has neither, or is not there."""
        try:
            result = self.connection.execute(f'from {self.dataset}."{table}"')
            names = [column[0].lower() for column in result.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.Error:
            return None
        if "date" not in names or "website_id" not in names:
            return None
        slices: Slices = {}
        for row in found:
            slices.setdefault((row["website_id"], row["date"]), []).append(row)
        return slices


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether rows are the same, as far as both have columns; the stamps are no matter."""
    if len(found) != len(wanted):
        return False
    if not found:
        return True
    names = sorted((found[0].keys() & wanted[0].keys()) - {"_run_id", "_synced_at"})
    return sorted(repr([row[name] for name in names]) for row in found) == sorted(
        repr([row[name] for name in names]) for row in wanted
    )


def half_written(before: Slices, after: Slices, right: Slices) -> list[tuple[Any, Any]]:
    """The slices that have neither the rows that they had nor those that they ought to have."""
    return [
        key
        for key in before.keys() | after.keys()
        if not same(after.get(key, []), before.get(key, [])) and not same(after.get(key, []), right.get(key, []))
    ]


@contextmanager
def opened(folder: Path) -> Iterator[Place]:
    """Make a place in a folder, which is the current one until the block ends."""
    before = Path.cwd()
    os.chdir(folder)
    Path(FILE).touch()  # so that commands that want the file to be there open the database of that name
    connection = duckdb.connect(FILE)
    connection.execute("set threads = 1")
    try:
        with FakeMatomo(small_world(1), token=CANARY) as matomo:
            config = {"reports": list(TABLES[:2]), "visits": True, "sites": ["1"], "backfill_days": 4, "concurrency": 1}
            shop = Shop(matomo, Path(FILE), **config)
            secrets = folder / "secrets"
            secrets.mkdir()
            (secrets / "matomo-shop-token").write_text(CANARY)
            (secrets / "matomo-shop-config").write_text(
                json.dumps({**config, "matomo_url": matomo.url, "reference_tables": False})
            )
            values = {"secrets": str(secrets), "warehouse": f"duckdb:{FILE}", "log_format": "json"}
            place = Place(shop, connection, settings_from_environment(values))
            assert shop.sync(**SPAN).verdict is Verdict.COMPLETE
            place.right = {table: place.rows(table) or {} for table in TABLES}
            _keep(place)
            yield place
            shop.close()
    finally:
        connection.close()
        os.chdir(before)


def _keep(place: Place) -> None:
    """Put aside what stands in the warehouse."""
    run = place.connection.execute
    run(f"create schema {_KEPT}")
    tables = run(f"select table_name, sql from duckdb_tables() where schema_name = '{place.dataset}'").fetchall()
    for name, statement in tables:
        run(statement.replace(f"TABLE {place.dataset}.", f"TABLE {_KEPT}."))
        run(f'insert into {_KEPT}."{name}" from {place.dataset}."{name}"')
    place.views = [
        statement
        for (statement,) in run(f"select sql from duckdb_views() where schema_name = '{place.dataset}'").fetchall()
    ]
