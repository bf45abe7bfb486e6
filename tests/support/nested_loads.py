"""A stand-in for the one thing that the emulator does wrong with nested columns: loading them.

goccy/bigquery-emulator 0.8.1 fills the fields of a STRUCT in a load job in the order of a Go map, which is another
one each time, so that nested rows arrive shuffled (a title in the column of the URL). The same values by an
``insert`` statement arrive as they should. So this proxy takes the place of the emulator for load jobs of
newline-delimited JSON into tables with nested columns, and for nothing else: it inserts the rows by statements of
typed literals and answers as BigQuery answers for a load job that is done. What it cannot show is that BigQuery
itself loads that JSON under that schema; everything before the load (the bytes, the schema, the job) and after it
(merge, view, titles) is the program's own, against the emulator.

Use it like the proxy it is::

    with nested_loads(emulator) as proxy:
        client = emulator.client(proxy.url)
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.api_core.retry import Retry, if_exception_type

from tests.support.emulator import connect
from tests.support.proxy import Answer, Proxy, failure, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.emulator import Emulator
    from tests.support.proxy import Request

# Rows of one statement: the emulator takes longer than twice as long for twice as many.
ROWS = 5
UPLOAD = re.compile(r"/upload/bigquery/v2/projects/[^/]+/jobs\?.*uploadType=resumable")
CONTENT = re.compile(r"/upload/nested/(.+)")
JOB = re.compile(r"/bigquery/v2/projects/[^/]+/jobs/([^/?]+)")
# A call that is not repeated, whatever it raises.
_ONCE = Retry(predicate=if_exception_type())
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": "\\x00"})

Field = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """A load job: how the client described it."""

    id: str
    resource: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What is to be loaded where."""
        config: dict[str, Any] = self.resource["configuration"]["load"]
        return config

    @property
    def fields(self) -> list[Field]:
        """The schema."""
        fields: list[Field] = self.config["schema"]["fields"]
        return fields

    @property
    def table(self) -> str:
        """The table's name in backquotes."""
        table = self.config["destinationTable"]
        return f"`{table['projectId']}.{table['datasetId']}.{table['tableId']}`"

    def done(self, rows: int) -> dict[str, Any]:
        """The job as BigQuery describes it when it has succeeded."""
        return {
            **self.resource,
            "kind": "bigquery#job",
            "id": self.id,
            "status": {"state": "DONE"},
            "statistics": {"load": {"outputRows": str(rows), "badRecords": "0"}},
        }


class NestedLoads(Proxy):
    """The proxy; ``loads`` are the load jobs that it carried out."""

    def __init__(self, emulator: Emulator) -> None:
        """Stand in front of an emulator."""
        super().__init__(emulator.address)
        self.loads: list[Load] = []
        self._client = connect(emulator.url, emulator.project)
        self._begun: dict[str, Load] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._guard = threading.Lock()

    def pass_on(self, request: Request) -> Answer:
        """Carry out a load of nested rows; pass on everything else."""
        if request.method == "POST" and UPLOAD.match(request.path):
            return self._begin(request)
        if request.method == "PUT" and (match := CONTENT.match(request.path)):
            return self._load(match[1], request)
        if request.method == "GET" and (match := JOB.match(request.path)) and match[1] in self._done:
            return Answer(200, json.dumps(self._done[match[1]]).encode())
        return super().pass_on(request)

    def close(self) -> None:
        """Close the connection to the emulator."""
        self._client.close()

    def _begin(self, request: Request) -> Answer:
        resource = json.loads(request.body)
        load = Load(resource["jobReference"]["jobId"], resource)
        if not any(field["type"] in ("RECORD", "STRUCT") for field in load.fields):
            return super().pass_on(request)
        if load.config["sourceFormat"] != "NEWLINE_DELIMITED_JSON":
            return failure(400, "invalid", f"the stand-in cannot load {load.config['sourceFormat']}")
        with self._guard:
            if load.id in self._begun:
                return failure(409, "duplicate", f"Already Exists: Job {load.id}")
            self._begun[load.id] = load
        return Answer(200, b"", (("Location", f"http://{self.address}/upload/nested/{load.id}"),))

    def _load(self, job_id: str, request: Request) -> Answer:
        load = self._begun[job_id]
        rows = [json.loads(line) for line in request.body.splitlines() if line]
        sent = request.headers.get("Content-Range") or request.headers.get("content-range") or ""
        if sent and not sent.endswith(f"/{len(request.body)}"):
            return failure(400, "invalid", "the stand-in takes an upload of one part only")
        unknown = {name for row in rows for name in row} - {field["name"] for field in load.fields}
        if unknown:  # ignore_unknown_values=False
            return failure(400, "invalid", f"no such field: {', '.join(sorted(unknown))}")
        if load.config["writeDisposition"] == "WRITE_TRUNCATE":
            self._run(f"delete from {load.table} where true")
        for start in range(0, len(rows), ROWS):
            self._run(insert(load.table, load.fields, rows[start : start + ROWS]))
        with self._guard:
            self.loads.append(load)
            self._done[job_id] = load.done(len(rows))
        return Answer(200, json.dumps(self._done[job_id]).encode())

    def _run(self, statement: str) -> None:
        # Not once more: where the emulator has been killed it is somewhere else by now, and who loads has to know.
        self._client.query(statement, retry=_ONCE, job_retry=None).result(retry=_ONCE, job_retry=None)


def insert(table: str, fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]) -> str:
    """The statement that inserts rows, each value a literal of its column's type."""
    names = ", ".join(field["name"] for field in fields)
    values = (f"({', '.join(literal(field, row.get(field['name'])) for field in fields)})" for row in rows)
    return f"insert into {table} ({names}) values {', '.join(values)}"


def type_of(field: Field, *, one: bool = False) -> str:
    """A field's type as GoogleSQL writes it; of one element where it is repeated."""
    name: str = field["type"]
    kind = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}.get(name, name)
    if kind in ("RECORD", "STRUCT"):
        parts = (f"{part['name']} {type_of(part)}" for part in field["fields"])
        kind = f"STRUCT<{', '.join(parts)}>"
    return f"ARRAY<{kind}>" if field.get("mode") == "REPEATED" and not one else kind


def literal(field: Field, value: Any, *, one: bool = False) -> str:
    """A value as a literal of its type; absent and null are the same, and an array without elements is empty."""
    if field.get("mode") == "REPEATED" and not one:
        elements = ", ".join(literal(field, element, one=True) for element in value or [])
        return f"[{elements}]" if elements else f"cast([] as {type_of(field)})"
    kind = type_of(field, one=True)
    if value is None:
        return f"cast(null as {kind})"
    if field.get("fields"):
        parts = (f"{literal(part, value.get(part['name']))} as {part['name']}" for part in field["fields"])
        return f"struct({', '.join(parts)})"
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> str:
    if kind in ("INT64", "BOOL"):
        return json.dumps(value)
    if kind == "FLOAT64":
        return repr(float(value))
    text = json.dumps(value, ensure_ascii=False) if kind == "JSON" else str(value)
    quoted = f"'{text.translate(_ESCAPES)}'"
    return quoted if kind == "STRING" else f"{kind.lower()} {quoted}"


@contextlib.contextmanager
def nested_loads(emulator: Emulator) -> Iterator[NestedLoads]:
    """Run the stand-in in front of an emulator until the block ends."""
    proxy = NestedLoads(emulator)
    try:
        with proxied(emulator.address, proxy):
            yield proxy
    finally:
        proxy.close()
