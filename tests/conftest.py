"""Fixtures of all tests, and the two rules that hold for each: nothing outside, nothing random in CI."""

from __future__ import annotations

import functools
import os
import signal
import uuid
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import structlog
from hypothesis import settings

from matomo_fn import redaction
from matomo_fn.warehouse import duckdb
from tests.support import analyzer as googlesql
from tests.support import emulator as bigquery_emulator
from tests.support import network
from tests.support import pubsub as pubsub_emulator
from tests.support.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.support.analyzer import Analyzer, Column
    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy

# No deadline: the machine is shared, and a slow example is no failure.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# A shell's background job ignores SIGINT, and hands that on to every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end no worker is left with it while the others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def _only_local() -> Iterator[list[str]]:
    with network.only_local() as refused:
        yield refused


@pytest.fixture(autouse=True)
def nothing_outside(_only_local: list[str]) -> Iterator[list[str]]:
    """Fail a test that reached for another machine, also where the code under test caught the error."""
    _only_local.clear()
    yield _only_local
    if _only_local:
        pytest.fail(f"this test tried to reach {', '.join(_only_local)}", pytrace=False)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redact nothing that is a secret of another test: some tokens of tests are plain words."""
    monkeypatch.setattr(redaction, "_secrets", {})


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """Leave no test the log stream of another: it is that test's captured output, and closed."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _statements_are_translated_once() -> Iterator[None]:
    """Remember statements in DuckDB's dialect: most runs of the tests send the same ones, and one takes 4 ms."""
    with mock.patch.object(duckdb, "to_duckdb", functools.lru_cache(maxsize=5000)(duckdb.to_duckdb)):
        yield


@pytest.fixture
def emulator(_only_local: list[str]) -> Iterator[Emulator]:
    """A BigQuery emulator of the test's own: ``emulator.url``, ``.address``, ``.project``.

    A start takes 0.3 s. In one that is shared, each job takes longer than the one before, and each ``drop table`` loads
    all tables that are left anew: some hundred tests later it is a second.
    """
    with bigquery_emulator.started() as running:
        yield running


@pytest.fixture(scope="session")
def pubsub_server(_only_local: list[str]) -> Iterator[pubsub_emulator.Server]:
    with pubsub_emulator.started() as running:
        yield running


@pytest.fixture
def pubsub(pubsub_server: pubsub_emulator.Server) -> pubsub_emulator.PubSub:
    """A project of the test's own in a Pub/Sub emulator that the tests of a process share."""
    return pubsub_emulator.PubSub(pubsub_server, pubsub_server.new_project())


@pytest.fixture
def proxied_emulator(emulator: Emulator) -> Iterator[Proxy]:
    """The emulator behind a proxy, in which staging tables stay: see ``Proxy.keep_staging``."""
    with proxied(emulator.address) as proxy:
        proxy.keep_staging()
        yield proxy


@pytest.fixture
def dataset_name() -> str:
    """The name of a dataset that no other test has."""
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture(scope="session")
def analyzer() -> Callable[[Mapping[str, Iterable[Column]]], Analyzer]:
    """Make a GoogleSQL analyzer that knows the given tables; see ``tests.support.analyzer``."""
    googlesql.wasm()
    return googlesql.Analyzer
