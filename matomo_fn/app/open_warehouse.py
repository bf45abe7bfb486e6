"""Opening the warehouse that the settings name."""

from matomo_fn.config.connector import Connector
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError
from matomo_fn.warehouse.protocol import Warehouse


def open_warehouse(
    settings: Settings, connector: Connector, *, run_id: str, deadline: Deadline, create: bool = True
) -> Warehouse:
    """Return the connector's dataset in the warehouse of the settings; nothing is created in it yet.

    Each warehouse's module is imported only where it is used: DuckDB is not part of what is deployed, and a local
    run has no need of Google's client.
    """
    if settings.duckdb_path is None:
        from matomo_fn.warehouse.bigquery import BigQueryWarehouse, Options, connect

        client = connect(settings.project, settings.emulator)
        return BigQueryWarehouse(
            client,
            connector.dataset_name,
            location=connector.location,
            run_id=run_id,
            deadline=deadline,
            options=Options(connector.name, connector.kms_key, connector.maximum_bytes_billed),
        )
    try:
        from matomo_fn.warehouse.duckdb import DuckDBWarehouse
    except ImportError:
        raise InputError(
            "MATOMO_FN_WAREHOUSE is a DuckDB file, but duckdb and sqlglot are not installed: run "
            "`pip install duckdb sqlglot`, or set MATOMO_FN_WAREHOUSE to bigquery"
        ) from None
    return DuckDBWarehouse(settings.duckdb_path, connector.dataset_name, create=create)
