"""BigQuery through google-cloud-bigquery: a dataset with its tables and views, and the work done on them by jobs."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery

from matomo_fn.catalogue import Schema
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse import bigquery_schemas as schemas
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.bigquery_calls import Calls, Conflict, NotFound, Outdated
from matomo_fn.warehouse.bigquery_jobs import JOB_SECONDS, Job, Jobs, Work, labels_of, unique_digest
from matomo_fn.warehouse.buffer import count_lines, open_joined
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundTable, PartitionBy

# A staging table that a killed run leaves behind goes away by itself.
_STAGING_LIFETIME = timedelta(days=1)
# Rows of a result that are in memory at once.
_PAGE_ROWS = 1_000
# How often a table is read again that somebody else changed between reading and changing it.
_UPDATES = 3


def connect(project: str, emulator: str) -> bigquery.Client:
    """Return a client of a project; of the emulator at that address, where there is one, without credentials."""
    if emulator:
        return bigquery.Client(
            project, credentials=AnonymousCredentials(), client_options=ClientOptions(api_endpoint=emulator)
        )
    try:
        return bigquery.Client(project)
    except DefaultCredentialsError:
        raise InputError(
            "there are no Google credentials: run `gcloud auth application-default login`, "
            "or set MATOMO_FN_WAREHOUSE to duckdb:PATH"
        ) from None


@dataclass(frozen=True, slots=True)
class Options:
    """What a connector says of its dataset and jobs.

    ``connector`` is a label of all jobs. ``kms_key`` encrypts what is created; Google's own key where it is empty.
    ``maximum_bytes_billed`` is the most that one statement or query may read; a dearer one fails without cost.
    """

    connector: str = ""
    kms_key: str = ""
    maximum_bytes_billed: int | None = None


class BigQueryWarehouse:
    """A dataset in BigQuery.

    ``run_id`` stands in the ids of all jobs: within a run the same work has the same id, so that a job whose answer
    was lost is found again and not done twice.
    """

    parallel = 4
    is_shared = True

    def __init__(
        self,
        client: bigquery.Client,
        dataset: str,
        *,
        location: str,
        run_id: str,
        deadline: Deadline,
        options: Options | None = None,
    ) -> None:
        self.dataset = f"{client.project}.{dataset}"
        self._client = client
        self._location = location
        self._run_id = run_id
        self._options = options or Options()
        self._calls = Calls(self.dataset, deadline)
        self._jobs = Jobs(client, self._calls, location=location, run_id=run_id)

    def check_writable(self) -> None:
        """Raise WarehouseError where the dataset is in another location or the account may not create tables in it.

        The latter by a dry run, which costs nothing. Whether a dataset that is not there may be created shows by
        creating it only.
        """
        limits = self._calls.limits
        try:
            found = self._calls.call("read the dataset", lambda: self._client.get_dataset(self.dataset, **limits()))
        except NotFound:
            return
        self._check_location(found)
        statement = f"create table {sql.table_name(self.dataset, f'{STAGING_PREFIX}check')} (website_id string)"
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        self._calls.call(
            "create tables",
            lambda: self._client.query(
                statement, location=self._location, job_config=config, job_retry=None, **limits()
            ),
        )

    def ensure_dataset(self) -> None:
        """Create the dataset if it is not there; refuse one in another location, where no job could reach it."""
        try:
            found = self._get_dataset()
        except NotFound:
            dataset = bigquery.Dataset(self.dataset)
            dataset.location = self._location
            dataset.description = "Matomo's reports, synced by matomo-fn."
            if self._options.kms_key:
                dataset.default_encryption_configuration = bigquery.EncryptionConfiguration(self._options.kms_key)
            try:
                self._calls.call(
                    "create the dataset", lambda: self._client.create_dataset(dataset, **self._calls.limits())
                )
            except Conflict:
                return  # another run was first
            return
        self._check_location(found)

    def _check_location(self, found: bigquery.Dataset) -> None:
        if found.location and found.location.upper() != self._location.upper():
            raise WarehouseError(
                f"dataset {self.dataset} is in {found.location}, but the connector's location is {self._location}: "
                f'set "location" to "{found.location}", or give the connector another dataset'
            )

    def dataset_warnings(self) -> Sequence[str]:
        """Return a sentence for each default of the dataset that makes tables or partitions expire."""
        try:
            return schemas.dataset_warnings(self._get_dataset())
        except NotFound:
            return []

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""
        try:
            return schemas.found_table(self._get_table(name), self._options.kms_key)
        except NotFound:
            return None

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; one that is there already is left as it is."""
        self._create(schemas.new_table(self.dataset, schema, partition_by, self._options.kms_key))

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """Bring a table up to date by one patch, or by none: a table takes five changes in ten seconds.

        The patch holds only for the table as it was read, so that of two runs none undoes the other's columns.
        """
        table: bigquery.Table = found.native
        for _ in range(_UPDATES):
            changed = schemas.update_table(table, schema, self._options.kms_key)
            if not changed:
                return
            try:
                self._patch(table, changed)
            except Outdated:
                table = self._get_table(schema.name)
            else:
                return
        raise WarehouseUnavailable(f"table {self.dataset}.{schema.name} is being changed by others: run again")

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """Replace the table by one statement, with its partitions and options, then describe it as its schema does."""
        statement = sql.replace_table(self.dataset, schema, source, schemas.table_clauses(found.native, schema))
        self.run(statement, f"replace{source}")
        now = self.find_table(schema.name)
        if now is not None:
            self.update_table(schema, now)
        self.drop_table(source)

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view; one that is there already is left as it is."""
        view = bigquery.Table(f"{self.dataset}.{name}")
        view.view_query = query
        view.description = description
        view.labels = dict(schemas.LABELS)
        self._create(view)

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """Bring a view up to date in place: who may read it, and what builds on it, stays as it is."""
        view: bigquery.Table = found.native
        for _ in range(_UPDATES):
            try:
                if changed := schemas.update_view(view, schema, query):
                    view = self._patch(view, changed)
                if described := schemas.describe_columns(view, schema):
                    self._patch(view, described)
            except Outdated:
                view = self._get_table(schema.name)
            else:
                return
        raise WarehouseUnavailable(f"view {self.dataset}.{schema.name} is being changed by others: run again")

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table, which expires by itself."""
        table = schemas.staging_table(self.dataset, schema, self._options.kms_key)
        table.expires = datetime.now(UTC) + _STAGING_LIFETIME
        self._create(table)

    def drop_table(self, name: str) -> None:
        """Drop a table by one call; a statement would be a job, which has to be submitted, waited for and read."""
        self._calls.call(
            f"drop {name}",
            lambda: self._client.delete_table(f"{self.dataset}.{name}", not_found_ok=True, **self._calls.limits()),
        )

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table by one load job, which is free of charge.

        The text is uploaded decompressed, as a stream: a compressed file is read by a single worker.
        """

        def submit(job_id: str, milliseconds: int) -> Job:
            config = bigquery.LoadJobConfig(
                schema=schemas.schema_fields(schema.columns),
                source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
                write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
                create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
                max_bad_records=0,
                ignore_unknown_values=False,
                labels=self._labels(schema.name),
                job_timeout_ms=milliseconds,
            )
            if self._options.kms_key:
                config.destination_encryption_configuration = bigquery.EncryptionConfiguration(self._options.kms_key)
            with open_joined(files) as stream:
                loading: bigquery.LoadJob = self._client.load_table_from_file(
                    stream,
                    f"{self.dataset}.{schema.name}",
                    job_id=job_id,
                    location=self._location,
                    job_config=config,
                    num_retries=0,  # a repeated upload could be a second job; the same id is what makes it safe
                    timeout=self._calls.limit(JOB_SECONDS),
                )
            return loading

        done = self._jobs.run(Work(job, _digest(files), submit))
        loaded, sent = getattr(done, "output_rows", None), count_lines(files)
        if loaded is not None and loaded != sent:  # the emulator does not say
            raise WarehouseError(
                f"BigQuery loaded {loaded} rows into {self.dataset}.{schema.name} where {sent} were sent: nothing of "
                "it was written to other tables. The next run sends them again"
            )

    def run(self, statement: str, job: str) -> None:
        """Run a statement that changes something, as one job."""
        self._jobs.run(Work(job, hashlib.sha256(statement.encode()).hexdigest(), self._submitter(statement)))

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query."""
        done = self._jobs.run(Work("query", unique_digest(), self._submitter(statement, is_select=True)))

        def read() -> list[dict[str, Any]]:
            rows = cast("Iterable[bigquery.Row]", done.result(**self._calls.limits()))
            return [dict(row.items()) for row in rows]

        return self._calls.call("read the result of a query", read)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a query, a page at a time."""
        what = "read the result of a query"
        done = self._jobs.run(Work("query", unique_digest(), self._submitter(statement, is_select=True)))
        query = cast("bigquery.QueryJob", done)
        rows = self._calls.call(what, lambda: query.result(page_size=_PAGE_ROWS, **self._calls.limits()))
        pages = iter(rows.pages)
        while (page := self._calls.call(what, lambda: next(pages, None))) is not None:
            yield from (dict(row.items()) for row in page)

    def stream(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a query, a page at a time."""
        what = "read the result of a query"
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        planned = self._calls.call(
            what,
            lambda: self._client.query(
                statement, location=self._location, job_config=config, job_retry=None, **self._calls.limits()
            ),
        )
        if planned.statement_type not in ("SELECT", None):  # the emulator does not say
            raise InputError(
                f"the query is a statement of the kind {planned.statement_type}: it may only read (select)"
            )
        yield from self.rows(statement)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _submitter(self, statement: str, *, is_select: bool = False) -> Callable[[str, int], Job]:
        def submit(job_id: str, milliseconds: int) -> Job:
            config = bigquery.QueryJobConfig(
                labels=self._labels(_first_table(statement)),
                job_timeout_ms=milliseconds,
            )
            if self._options.maximum_bytes_billed is not None:
                config.maximum_bytes_billed = self._options.maximum_bytes_billed
            if is_select and self._options.kms_key:
                config.destination_encryption_configuration = bigquery.EncryptionConfiguration(self._options.kms_key)
            return self._client.query(
                statement,
                job_id=job_id,
                location=self._location,
                job_config=config,
                job_retry=None,
                **self._calls.limits(),
            )

        return submit

    def _labels(self, table: str) -> dict[str, str]:
        """Return the labels of a job; of a staging table the name of the table that its rows go to."""
        name = table.removeprefix(STAGING_PREFIX).partition(f"_{self._run_id}")[0]
        return labels_of(connector=self._options.connector, run=self._run_id, table=name)

    def _get_dataset(self) -> bigquery.Dataset:
        return self._calls.call(
            "read the dataset", lambda: self._client.get_dataset(self.dataset, **self._calls.limits())
        )

    def _get_table(self, name: str) -> bigquery.Table:
        return self._calls.call(
            f"read table {name}", lambda: self._client.get_table(f"{self.dataset}.{name}", **self._calls.limits())
        )

    def _create(self, table: bigquery.Table) -> None:
        self._calls.call(
            f"create {table.table_id}",
            lambda: self._client.create_table(table, exists_ok=True, **self._calls.limits()),
        )

    def _patch(self, table: bigquery.Table, fields: list[str]) -> bigquery.Table:
        return self._calls.call(
            f"update {table.table_id}",
            lambda: self._client.update_table(table, fields, **self._calls.limits()),
        )


def _first_table(statement: str) -> str:
    """Return the name of the first table in a statement, which is the one that it changes."""
    parts = statement.split("`", 2)
    return parts[1].rpartition(".")[2] if len(parts) == 3 else ""


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
