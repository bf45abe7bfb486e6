"""BigQuery through google-cloud-bigquery.

The client retries calls by itself: each gets a deadline, and nothing is wrapped around it but what it leaves out,
the failed job that may succeed as another one.
"""

import concurrent.futures
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import requests
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.table import PrimaryKey, TableConstraints
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from matomo_fn.catalogue import Column, Schema
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.buffer import open_joined
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundColumn, FoundTable, PartitionBy

# Seconds for one HTTP exchange, and for one call with the client's own retries.
_HTTP_TIMEOUT = 60.0
_CALL_DEADLINE = 120.0
# Seconds for a job to finish. A merge of a day takes some seconds; past two others on its table it queues.
_JOB_DEADLINE = 600.0
# Tries of a job that failed by no fault of its own, with 1, 2 and 4 seconds (and some chance) between them.
_ATTEMPTS = 4
# A staging table that a killed run leaves behind goes away by itself.
_STAGING_LIFETIME = timedelta(days=1)
# The API answers with the names of legacy SQL.
_SHORT_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_RETRIABLE_REASONS = {
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
}
_CONFLICT = "Could not serialize access"  # two mutating statements on one table; the service tried three times itself

Result = TypeVar("Result")
Job = bigquery.LoadJob | bigquery.QueryJob


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


class BigQueryWarehouse:
    """A dataset in BigQuery.

    ``run_id`` stands in the ids of all jobs: within a run the same work has the same id, so that a job whose answer
    was lost is found again and not done twice.
    """

    parallel = 4

    def __init__(
        self, client: bigquery.Client, dataset: str, *, location: str, run_id: str, deadline: Deadline
    ) -> None:
        self.dataset = f"{client.project}.{dataset}"
        self._client = client
        self._location = location
        self._run_id = run_id
        self._deadline = deadline

    def check_writable(self) -> None:
        """Raise WarehouseError where the dataset is in another location or the account may not create tables in it.

        The latter by a dry run, which costs nothing. Whether a dataset that is not there may be created shows by
        creating it only.
        """
        try:
            found = self._call("read the dataset", lambda: self._client.get_dataset(self.dataset, **self._limits()))
        except _NotFound:
            return
        self._check_location(found)
        statement = f"create table {sql.table_name(self.dataset, f'{STAGING_PREFIX}check')} (website_id string)"
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        self._call(
            "create tables",
            lambda: self._client.query(
                statement,
                location=self._location,
                job_config=config,
                job_retry=None,
                retry=self._retry(),
                timeout=self._deadline.limit(_HTTP_TIMEOUT),
            ),
        )

    def ensure_dataset(self) -> None:
        """Create the dataset if it is not there; refuse one in another location, where no job could reach it."""
        try:
            found = self._call("read the dataset", lambda: self._client.get_dataset(self.dataset, **self._limits()))
        except _NotFound:
            dataset = bigquery.Dataset(self.dataset)
            dataset.location = self._location
            dataset.description = "Matomo's reports, synced by matomo-fn."
            try:
                self._call("create the dataset", lambda: self._client.create_dataset(dataset, **self._limits()))
            except _Conflict:
                return  # another run was first
            return
        self._check_location(found)

    def _check_location(self, found: bigquery.Dataset) -> None:
        if found.location and found.location.upper() != self._location.upper():
            raise WarehouseError(
                f"dataset {self.dataset} is in {found.location}, but the connector's location is {self._location}: "
                f'set "location" to "{found.location}", or give the connector another dataset'
            )

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""
        try:
            table = self._call(
                f"read table {name}",
                lambda: self._client.get_table(f"{self.dataset}.{name}", **self._limits()),
            )
        except _NotFound:
            return None
        columns = tuple(FoundColumn(field.name, _type_name(field), field.mode == "REQUIRED") for field in table.schema)
        return FoundTable(columns, _partition_of(table), table.table_type != "TABLE")

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; one that is there already is left as it is."""
        table = self._table(schema)
        if schema.partitioned:
            table.time_partitioning = bigquery.TimePartitioning(type_=partition_by.upper(), field="date")
        if schema.clustering:
            table.clustering_fields = list(schema.clustering)
        if schema.key:
            table.table_constraints = TableConstraints(PrimaryKey(list(schema.key)), None)
        self._call(
            f"create table {schema.name}",
            lambda: self._client.create_table(table, exists_ok=True, **self._limits()),
        )

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view, or make it anew."""
        view = bigquery.Table(f"{self.dataset}.{name}")
        view.view_query = query
        view.description = description
        self._call(
            f"drop view {name}",
            lambda: self._client.delete_table(f"{self.dataset}.{name}", not_found_ok=True, **self._limits()),
        )
        self._call(f"create view {name}", lambda: self._client.create_table(view, exists_ok=True, **self._limits()))

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table, which expires by itself."""
        table = self._table(schema)
        table.expires = datetime.now(UTC) + _STAGING_LIFETIME
        self._call(
            f"create table {schema.name}",
            lambda: self._client.create_table(table, exists_ok=True, **self._limits()),
        )

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table by one load job, which is free of charge.

        The text is uploaded decompressed, as a stream: a compressed file is read by a single worker.
        """
        config = bigquery.LoadJobConfig(
            schema=self._table(schema).schema,
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            max_bad_records=0,
            ignore_unknown_values=False,
        )

        def submit(job_id: str) -> Job:
            with open_joined(files) as stream:
                loading: bigquery.LoadJob = self._client.load_table_from_file(
                    stream,
                    f"{self.dataset}.{schema.name}",
                    job_id=job_id,
                    location=self._location,
                    job_config=config,
                    num_retries=0,  # a repeated upload could be a second job; the same id is what makes it safe
                    timeout=self._deadline.limit(_JOB_DEADLINE),
                )
            # The emulator's answer to an upload has no status, without which result() would begin the job anew.
            loading.reload(retry=self._retry(), timeout=self._deadline.limit(_HTTP_TIMEOUT))
            return loading

        self._run_job(job, _digest(files), submit)

    def run(self, statement: str, job: str) -> None:
        """Run a statement that changes something, as one job."""

        def submit(job_id: str) -> Job:
            return self._client.query(
                statement,
                job_id=job_id,
                location=self._location,
                job_retry=None,
                retry=self._retry(),
                timeout=self._deadline.limit(_HTTP_TIMEOUT),
            )

        self._run_job(job, hashlib.sha256(statement.encode()).hexdigest(), submit)

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query."""

        def ask() -> list[dict[str, Any]]:
            rows = self._client.query_and_wait(
                statement,
                location=self._location,
                retry=self._retry(),
                job_retry=self._retry(),
                api_timeout=self._deadline.limit(_HTTP_TIMEOUT),
                wait_timeout=self._deadline.limit(_JOB_DEADLINE),
            )
            return [dict(row.items()) for row in rows]

        return self._call("query", ask)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run_job(self, name: str, digest: str, submit: Callable[[str], Job]) -> None:
        """Run a job to its end; where it failed by no fault of its own, as a new one."""
        number = 1
        retrying = Retrying(
            retry=retry_if_exception_type(WarehouseUnavailable),
            stop=lambda state: (
                stop_after_attempt(_ATTEMPTS)(state) or state.upcoming_sleep > self._deadline.remaining()
            ),
            wait=wait_exponential_jitter(initial=1, max=30),
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                job = self._start(f"matomo_fn_{self._run_id}_{name}_{digest[:16]}_{number}", name, submit)
                try:
                    self._call(name, lambda job=job: _wait(job, self._retry(), self._deadline))  # type: ignore[misc]
                except WarehouseUnavailable:
                    if self._call(name, lambda job=job: job.done(**self._limits())):  # type: ignore[misc]
                        number += 1  # the id of a job that failed is used up
                    raise

    def _start(self, job_id: str, name: str, submit: Callable[[str], Job]) -> Job:
        """Submit a job, or find the one of that id that an earlier try submitted."""
        try:
            return self._call(name, lambda: submit(job_id))
        except _Conflict:
            return self._call(
                name,
                lambda: cast("Job", self._client.get_job(job_id, location=self._location, **self._limits())),
            )

    def _table(self, schema: Schema) -> bigquery.Table:
        table = bigquery.Table(f"{self.dataset}.{schema.name}", schema=[_field(column) for column in schema.columns])
        table.description = schema.description
        table.labels = {"managed-by": "matomo-fn"}
        return table

    def _limits(self) -> dict[str, Any]:
        return {"retry": self._retry(), "timeout": self._deadline.limit(_HTTP_TIMEOUT)}

    def _retry(self) -> Retry:
        retry: Retry = bigquery.DEFAULT_RETRY.with_timeout(self._deadline.limit(_CALL_DEADLINE))
        return retry

    def _call(self, what: str, call: Callable[[], Result]) -> Result:
        """Return what a call of the client returns, its errors turned into the program's."""
        try:
            return call()
        except exceptions.Conflict as error:
            raise _Conflict(str(error)) from None
        except exceptions.NotFound as error:
            raise _NotFound(f"BigQuery cannot {what}: {_message(error)}") from None
        except exceptions.GoogleAPICallError as error:
            raise _translated(what, self.dataset, error) from None
        except (exceptions.RetryError, concurrent.futures.TimeoutError):
            raise WarehouseUnavailable(f"BigQuery did not answer in time: {what}") from None
        except DefaultCredentialsError:
            raise InputError("there are no Google credentials: run `gcloud auth application-default login`") from None
        except (requests.exceptions.RequestException, GoogleAuthError, OSError) as error:
            raise WarehouseUnavailable(f"BigQuery could not be reached ({type(error).__name__}): {what}") from None


class _NotFound(WarehouseError):
    """There is no such thing."""


class _Conflict(WarehouseError):
    """There is such a thing already."""


def _wait(job: Job, retry: Retry, deadline: Deadline) -> None:
    if isinstance(job, bigquery.QueryJob):
        job.result(retry=retry, job_retry=None, timeout=deadline.limit(_JOB_DEADLINE))
    else:
        job.result(retry=retry, timeout=deadline.limit(_JOB_DEADLINE))


def _translated(what: str, dataset: str, error: exceptions.GoogleAPICallError) -> WarehouseError:
    reasons = {item.get("reason") for item in error.errors if isinstance(item, Mapping)}
    message = _message(error)
    if (
        isinstance(error, exceptions.ServerError | exceptions.TooManyRequests)
        or reasons & _RETRIABLE_REASONS
        or _CONFLICT in message
    ):
        return WarehouseUnavailable(f"BigQuery cannot {what} now: {message}")
    if isinstance(error, exceptions.Forbidden):
        return WarehouseError(
            f"BigQuery does not allow to {what}: {message} The service account needs roles/bigquery.jobUser on the "
            f"project and roles/bigquery.dataEditor on dataset {dataset}"
        )
    return WarehouseError(f"BigQuery cannot {what}: {message}")


def _message(error: exceptions.GoogleAPICallError) -> str:
    return " ".join(str(error.message).split())[:500]


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _field(column: Column) -> bigquery.SchemaField:
    mode = "REPEATED" if column.repeated else "REQUIRED" if column.required else "NULLABLE"
    fields = [_field(field) for field in column.fields]
    type_name = "RECORD" if fields else str(column.type)  # the API's older name, which the emulator asks for
    return bigquery.SchemaField(column.name, type_name, mode, description=column.description, fields=fields)


def _type_name(field: bigquery.SchemaField) -> str:
    name = _SHORT_NAMES.get(field.field_type, field.field_type)
    if field.fields:
        name = f"STRUCT<{', '.join(f'{part.name} {_type_name(part)}' for part in field.fields)}>"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def _partition_of(table: bigquery.Table) -> str:
    partitioning = table.time_partitioning
    if partitioning is None:
        return "nothing" if table.range_partitioning is None else "ranges of numbers"
    unit = str(partitioning.type_).lower()
    return unit if partitioning.field == "date" else f"{unit} of {partitioning.field or 'ingestion'}"
