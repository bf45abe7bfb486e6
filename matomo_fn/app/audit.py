"""Auditing a connector: its log against its tables, without Matomo."""

import structlog

from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.wiring import new_run
from matomo_fn.catalogue import Catalogue
from matomo_fn.catalogue.custom import ReportSpec, custom_table
from matomo_fn.config.connector import Connector
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.config.validation import suggestion
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError
from matomo_fn.sync.audit import AuditResult, audit, log_audit
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse


def run_audit(settings: Settings, request: SyncRequest) -> AuditResult:
    """Audit the tables of a request, by default all of its connector, and log what came of it in one line.

    The event is a WARNING where something differs. A dry run marks nothing as pending.
    """
    connector = find_connector(open_secret_store(settings), request.connector)
    every = connector.open_reports.every
    unknown = [name for name in request.tables or () if name not in connector.catalogue and not every]
    if unknown:
        raise InputError(
            [
                f"request: connector {connector.name!r} does not have table {name!r}: "
                f"{suggestion(name, connector.catalogue)}"
                for name in unknown
            ]
        )
    run = new_run()
    structlog.contextvars.bind_contextvars(run_id=run.id)
    deadline = Deadline(settings.time_budget)
    warehouse = open_warehouse(settings, connector, run_id=run.id, deadline=deadline, create=False)
    try:
        state = SyncState(warehouse, connector)
        if state.exists():
            tables = _tables(warehouse, connector, request)
            result = audit(warehouse, state, tables, run, run.started_at, mark=not request.dry_run)
        else:
            result = AuditResult(connector.name, run.id, [], [], 0)
    finally:
        warehouse.close()
    log_audit(result)
    return result


def _tables(warehouse: Warehouse, connector: Connector, request: SyncRequest) -> Catalogue:
    """Return the tables to audit; of "reports": "all" those that the log knows, since Matomo is not asked."""
    known = connector.catalogue
    logged = [row["table_name"] for row in warehouse.query(log_sql.logged_tables(warehouse.dataset, connector.name))]
    more = [custom_table(ReportSpec("API.get", name=name)) for name in logged if name not in known]
    every = Catalogue([*known.values(), *(more if connector.open_reports.every else ())])
    return tables_as_found(warehouse, every.select(request.tables or every))
