"""The parts that a run works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from matomo_fn.config.connector import Connector
from matomo_fn.deadline import Deadline
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext
from matomo_fn.extract.own_buffers import OwnBuffers
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

    def extract_context(self, folder: Path, version: tuple[int, int], now: datetime) -> ExtractContext:
        """Return what jobs of every kind are extracted with; buffers are made in ``folder``."""
        return ExtractContext(
            self.client,
            version,
            ArchiveChecks(self.client, self.connector.trailing_days, now),
            self.deadline.allows_requests,
            OwnBuffers(folder, self.buffer_bytes),
            now,
            self.connector.excluded_columns,
        )
