"""One warehouse that several processes write to at once, by BigQuery's rules: a DuckDB file is one process's.

BigQuery's emulator would do, but takes a good part of a second for a statement, and more with each row.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from multiprocessing.process import current_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from matomo_fn.warehouse.protocol import Warehouse
from tests.support.bigquery_rules import RulesWarehouse, Storage

_SECRET = b"local"
# What DuckDB refuses where two do it at once, and BigQuery does not: it changes the catalog.
_OF_THE_CATALOG = frozenset(
    {"ensure_dataset", "create_table", "create_staging", "create_view", "update_table", "update_view", "drop_table"}
)


class _Dataset:
    """The dataset of a connector; each thread has its own connection, as the manager has a thread for each client's."""

    def __init__(self, storage: Storage, name: str, catalog: threading.RLock) -> None:
        self._storage = storage
        self._name = name
        self._catalog = catalog
        self._connections = threading.local()

    def call(self, method: str, *arguments: Any) -> Any:
        """Return what a method of the warehouse returns."""
        if not hasattr(self._connections, "own"):
            self._connections.own = RulesWarehouse(self._storage, self._name)
        do = getattr(self._connections.own, method)
        if method in _OF_THE_CATALOG:
            with self._catalog:
                return do(*arguments)
        found = do(*arguments)
        return list(found) if method in ("rows", "stream") else found


class _Service(BaseManager):
    """The process that has the storage.

    Attributes:
        storage: of the process, once it has started.
        catalog: is held by the one statement that changes the catalog.
    """

    storage: Storage
    catalog = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> None:
        """Open the storage."""
        cls.storage = Storage(path)

    @classmethod
    def find(cls, name: str) -> _Dataset:
        """Return a dataset."""
        return _Dataset(cls.storage, name, cls.catalog)


_Service.register("dataset", callable=_Service.find)


@contextmanager
def served() -> Iterator[str]:
    """Serve a warehouse by a process of its own, and yield its address."""
    service = _Service(authkey=_SECRET, ctx=get_context("forkserver"))
    with TemporaryDirectory() as folder:
        service.start(_Service.open, (Path(folder) / "warehouse.duckdb",))
        with service:
            yield str(service.address)


class ServedWarehouse:
    """A connection to a dataset that is served; its methods are those of the protocol."""

    parallel = 1
    is_shared = True

    def __init__(self, address: str, name: str) -> None:
        self.dataset = name
        current_process().authkey = _SECRET  # of the connections that a proxy opens for each thread
        client = _Service(address, authkey=_SECRET)
        client.connect()
        self._dataset = client.dataset(name)  # type: ignore[attr-defined]

    def __getattr__(self, method: str) -> Any:
        """Return a method of the warehouse."""
        return partial(self._dataset.call, method)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a query."""
        yield from self._dataset.call("rows", statement)

    def close(self) -> None:
        """Do nothing: the server closes what it has opened."""


def connected(address: str, name: str) -> Warehouse:
    """Return a dataset of a warehouse that is served."""
    return cast("Warehouse", ServedWarehouse(address, name))
