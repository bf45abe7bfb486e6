"""The parts that a run works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from matomo_fn.config.connector import Connector
from matomo_fn.deadline import Deadline
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.segments import Segment
from matomo_fn.sync.hand_on import FanOut
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.protocol import Warehouse


@dataclass(frozen=True, slots=True)
class Session:
    """The parts that a run works with; ``now`` gives the time of day in UTC, ``clock`` seconds that only grow.

    ``fan_out``: how what is too much for one run is handed on; None where it is not.
    """

    connector: Connector
    client: MatomoClient
    warehouse: Warehouse
    deadline: Deadline
    buffer_bytes: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = monotonic
    fan_out: FanOut | None = None

    @property
    def state(self) -> SyncState:
        """The connector's log in the warehouse."""
        return SyncState(self.warehouse, self.connector)

    def state_of(self, segments: Sequence[Segment]) -> SyncState:
        """Return the connector's log, for entries of some segments too."""
        return SyncState(self.warehouse, self.connector, segments)
