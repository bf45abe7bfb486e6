"""Which final slices the runs of a connector found changed in Matomo, as ``_sync_log`` has them."""

from collections.abc import Collection, Mapping

from matomo_fn.config.connector import Connector
from matomo_fn.periods import period_of
from matomo_fn.slices import Stream
from matomo_fn.sync.changes import Changes
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse


def changes_by_run(warehouse: Warehouse, connector: Connector, requests: Collection[str]) -> Mapping[str, Changes]:
    """Return what the runs of some requests found changed, by the run's id; a run that found nothing is not there."""
    found: dict[str, Changes] = {}
    if not requests:
        return found
    for row in warehouse.query(log_sql.changes_of(warehouse.dataset, connector.name, requests)):
        table = connector.catalogue.get(row["table_name"])
        period = table.period if table else period_of(row["period"])
        stream = Stream(row["table_name"], row["website_id"], row["segment"], period)
        found.setdefault(row["run_id"], Changes()).add(stream, row["date"], row["replaced_rows"], row["row_count"])
    return found


def joined(changes: Collection[Changes]) -> Changes:
    """Return some changes as one, such as those of the deliveries of one message."""
    whole = Changes()
    for each in changes:
        whole.include(each)
    return whole
