"""What the program needs of a warehouse; BigQuery and DuckDB both give it, and pass the same tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from matomo_fn.catalogue import Schema

PartitionBy = Literal["day", "month"]
STAGING_PREFIX = "_staging_"


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column of a table that exists; ``type_name`` as GoogleSQL writes it."""

    name: str
    type_name: str
    required: bool


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table or view that exists; ``partition_by`` is None where the warehouse has no partitions."""

    columns: tuple[FoundColumn, ...]
    partition_by: str | None = None
    is_view: bool = False


class Warehouse(Protocol):
    """A dataset to write to; methods are thread-safe and raise WarehouseError or one of its subclasses.

    ``dataset`` is the name as statements spell it; ``parallel`` how many statements it runs at once with profit.
    """

    dataset: str
    parallel: int

    def check_writable(self) -> None:
        """Raise what keeps tables from being created and written, as far as it shows; nothing is created."""

    def ensure_dataset(self) -> None:
        """Create the dataset if it is not there."""

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; one that is there already is left as it is."""

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view of a GoogleSQL query, or make it anew."""

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table, which expires by itself."""

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table, which has that schema.

        ``files`` are gzip files of newline-delimited JSON. ``job`` names the work: the same name with the same
        content is the same job, also after a broken connection.
        """

    def run(self, statement: str, job: str) -> None:
        """Run a GoogleSQL statement that changes something."""

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a GoogleSQL query."""

    def close(self) -> None:
        """Let go of files and connections."""
