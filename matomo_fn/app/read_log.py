"""Opening a connector's warehouse to read what its runs have logged."""

from collections.abc import Iterator
from contextlib import contextmanager

from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.wiring import new_run
from matomo_fn.config.connector import Connector
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFnError
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.protocol import Warehouse


class NeverSynced(MatomoFnError):
    """The warehouse has no log of the connector: nothing was synced, or it is another warehouse."""


@contextmanager
def open_log(settings: Settings, name: str) -> Iterator[tuple[Connector, Warehouse]]:
    """Open a connector's warehouse, which has a log, for the length of a block.

    Raises NeverSynced, with the place that was looked at, where there is no log. Nothing is created.
    """
    read_request({"connector": name})  # a name that cannot be one is said to be so, as by every other command
    connector = find_connector(open_secret_store(settings), name)
    path = settings.duckdb_path
    if path is not None and not path.exists():
        raise NeverSynced(
            f"connector {name!r} has never been synced here: there is no DuckDB file {path}. Sync it, or correct "
            "MATOMO_FN_WAREHOUSE"
        )
    warehouse = open_warehouse(settings, connector, run_id=new_run().id, deadline=Deadline(), create=False)
    try:
        if not SyncState(warehouse, connector).exists():
            place = f"{warehouse.dataset} in {path}" if path else warehouse.dataset
            raise NeverSynced(
                f"connector {name!r} has never been synced here: there is no _sync_log in dataset {place}. Sync it, "
                'or correct "dataset" in its configuration, or MATOMO_FN_WAREHOUSE'
            )
        yield connector, warehouse
    finally:
        warehouse.close()


def never_synced(connector: Connector, warehouse: Warehouse) -> NeverSynced:
    """Return the error for a log that has no row of the connector."""
    return NeverSynced(
        f"connector {connector.name!r} has never been synced into dataset {warehouse.dataset}: its _sync_log has "
        "nothing of it. Sync it"
    )
