"""What the program needs of a warehouse; BigQuery and DuckDB both give it, and pass the same tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from matomo_fn.catalogue import Schema

PartitionBy = Literal["day", "month"]
STAGING_PREFIX = "_staging_"


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column of a table that exists; ``type_name`` as GoogleSQL writes it, ``fields`` those of a STRUCT."""

    name: str
    type_name: str
    required: bool
    fields: tuple["FoundColumn", ...] = ()

    @property
    def is_repeated(self) -> bool:
        """Whether the column is an array."""
        return self.type_name.startswith("ARRAY<")


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table or view that exists; ``partition_by`` is None where the warehouse has no partitions.

    ``problems`` are phrases for what else keeps it from being written to, ``warnings`` sentences about what makes its
    rows vanish by themselves. ``native`` is the warehouse's own description, for it to update.
    """

    columns: tuple[FoundColumn, ...]
    partition_by: str | None = None
    is_view: bool = False
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    native: Any = field(default=None, compare=False, repr=False)


class Warehouse(Protocol):
    """A dataset to write to; methods are thread-safe and raise WarehouseError or one of its subclasses.

    ``dataset`` is the name as statements spell it; ``parallel`` how many statements it runs at once with profit;
    ``is_shared``: whether other processes can have it open at the same time.
    """

    dataset: str
    parallel: int
    is_shared: bool

    def check_writable(self) -> None:
        """Raise what keeps tables from being created and written, as far as it shows; nothing is created."""

    def ensure_dataset(self) -> None:
        """Create the dataset if it is not there."""

    def dataset_warnings(self) -> Sequence[str]:
        """Return a sentence for each setting of the dataset that makes rows vanish by themselves."""

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; one that is there already is left as it is."""

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """Bring a table up to date in one change, or do nothing where nothing differs.

        Columns and nested fields that are missing are added behind the others, those that need not be required become
        nullable. Descriptions, labels, key, clustering and options become the schema's.
        """

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """Let a table have the schema and the rows of another table of this dataset, in one step, and drop that one.

        ``found``: the table as it is; its partitions and options stay.
        """

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view of a GoogleSQL query; one that is there already is left as it is."""

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """Bring a view up to date in place: its query, its description and those of its columns."""

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table, which expires by itself."""

    def drop_table(self, name: str) -> None:
        """Drop a table; one that is not there is fine."""

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table, which has that schema.

        ``files`` are gzip files of newline-delimited JSON. ``job`` names the work: the same name with the same
        content is the same job, also after a broken connection.
        """

    def run(self, statement: str, job: str) -> None:
        """Run a GoogleSQL statement that changes something."""

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a GoogleSQL query."""

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a GoogleSQL query, a page at a time: of one whose rows are as many as slices."""

    def stream(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a GoogleSQL query that a user wrote, a page at a time; it may only read."""

    def close(self) -> None:
        """Let go of files and connections."""
