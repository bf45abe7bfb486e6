"""The function as its user has it on one machine: a sample Matomo, secrets in a folder, tables in a DuckDB file."""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import duckdb
import functions_framework

from fake_matomo import FakeMatomo, Site, World
from tests.support.canary import CANARY
from tests.support.server import MAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

CONNECTOR = "shop"
DATASET = "matomo_shop"
# Few visits on few pages: what the tests look at does not depend on how many there are.
WORLD = World(
    sites=(
        Site(1, "Shop", "Europe/Paris", visits_per_day=6, pages=5, main_url="https://shop.example.org"),
        Site(2, "Docs", "UTC", visits_per_day=4, pages=5, main_url="https://docs.example.org"),
    )
)

# All rows by schema and table, each table's in an order of its own.
Contents = dict[tuple[str, str], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Shop:
    """A connector named ``shop`` with the canary for its token, and where its parts are."""

    matomo: FakeMatomo
    secrets: Path
    warehouse: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a function that works here."""
        return {
            "MATOMO_FN_SECRETS": str(self.secrets),
            "MATOMO_FN_WAREHOUSE": f"duckdb:{self.warehouse}",
            "MATOMO_FN_LOG_FORMAT": "json",
        }

    def write(self, secret: str, content: str | bytes) -> None:
        """Write the connector's ``config`` or its ``token``."""
        data = content.encode() if isinstance(content, str) else content
        (self.secrets / f"matomo-{CONNECTOR}-{secret}").write_bytes(data)

    def configure(self, **keys: object) -> None:
        """Write the configuration: of this Matomo's first site and without reference tables, unless given otherwise."""
        own = {"matomo_url": self.matomo.url, "sites": ["1"], "reference_tables": False}
        self.write("config", json.dumps(own | keys))

    def post(self, request: object, *, headers: Mapping[str, str] | None = None, **env: str) -> TestResponse:
        """Post a request to the function; ``env`` goes on top of this place's."""
        with mock.patch.dict("os.environ", self.env | env):
            return http().post("/", json=request, headers=headers)

    def drop_table(self, name: str) -> None:
        """Drop a table of the warehouse."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute(f'drop table {DATASET}."{name}"')

    def contents(self) -> Contents:
        """All that stands in the warehouse."""
        return contents(self.warehouse)


@contextlib.contextmanager
def running(folder: Path, *, world: World = WORLD) -> Iterator[Shop]:
    """Make everything ready in a folder; the warehouse's file is not there yet."""
    secrets = folder / "secrets"
    secrets.mkdir()
    with FakeMatomo(world, token=CANARY) as matomo:
        shop = Shop(matomo, secrets, folder / "warehouse.duckdb")
        shop.configure()
        shop.write("token", f"{CANARY}\n")
        yield shop


def contents(file: Path) -> Contents:
    """All tables and views of a DuckDB file with all their rows."""
    with duckdb.connect(str(file), read_only=True) as connection:
        names = connection.execute("select table_schema, table_name from information_schema.tables").fetchall()
        found: Contents = {}
        for schema, name in names:
            result = connection.execute(f'from "{schema}"."{name}"')
            columns = [column[0] for column in result.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
            found[(schema, name)] = sorted(rows, key=repr)
        return found


@functools.cache
def http() -> FlaskClient:
    """A client of ``main.py``'s ``sync`` behind the Functions Framework."""
    client: FlaskClient = functions_framework.create_app("sync", str(MAIN), "http").test_client()
    return client


@functools.cache
def events() -> FlaskClient:
    """A client of ``main.py``'s ``sync_event`` behind the Functions Framework."""
    client: FlaskClient = functions_framework.create_app("sync_event", str(MAIN), "cloudevent").test_client()
    return client


def log_lines(output: str) -> list[dict[str, Any]]:
    """The events that were written: every line has to be a JSON object."""
    return [json.loads(line) for line in output.splitlines()]
