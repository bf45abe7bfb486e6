"""How complete the tables of a connector are, by table and site."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.wiring import new_run
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import config_secret, open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse import sql


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The state of one table and site.

    ``visits_difference``: of the table visits, by how many visits its days differ from VisitsSummary.get, summed up.
    """

    table: str
    website_id: str
    segment: str
    first_day: date
    last_day: date
    days: int
    rows: int
    pending: int
    failed: int
    visits_difference: int | None
    last_run: datetime
    last_error: str | None

    @property
    def gaps(self) -> int:
        """Days between the first and the last that no run has handled."""
        return (self.last_day - self.first_day).days + 1 - self.days

    @property
    def is_good(self) -> bool:
        """Whether every day between the first and the last is in the table."""
        return not (self.gaps or self.pending or self.failed)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        return {
            "table": self.table,
            "website_id": self.website_id,
            "segment": self.segment,
            "first_day": str(self.first_day),
            "last_day": str(self.last_day),
            "days": self.days,
            "gaps": self.gaps,
            "rows": self.rows,
            "pending": self.pending,
            "failed": self.failed,
            "visits_difference": self.visits_difference,
            "last_run": self.last_run.isoformat(timespec="seconds"),
            "last_error": self.last_error,
        }


def read_status(settings: Settings, name: str) -> Sequence[TableStatus]:
    """Return the state of every table and site of a connector; empty where it never ran."""
    read_request({"connector": name})  # a name that cannot be one is said to be so, as by every other command
    connector = read_connector(name, open_secret_store(settings).read(config_secret(name)))
    warehouse = open_warehouse(settings, connector, run_id=new_run().id, deadline=Deadline(), create=False)
    try:
        if not SyncState(warehouse, connector).exists():
            return []
        return [
            TableStatus(
                row["table_name"],
                row["website_id"],
                row["segment"],
                row["first_day"],
                row["last_day"],
                row["days"],
                int(row["row_count"]),
                row["pending"],
                row["failed"],
                row["visits_difference"],
                row["last_run"],
                row["last_error"],
            )
            for row in warehouse.query(sql.status_of(warehouse.dataset, connector.name))
        ]
    finally:
        warehouse.close()
