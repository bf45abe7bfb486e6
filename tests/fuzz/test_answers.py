"""Whatever a Matomo answers: rows that the tables can take, or an error that says what is wrong with the answer."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from matomo_fn.catalogue import EXTENDED, REFERENCE_TABLES, VISITS, ColumnType
from matomo_fn.catalogue.custom import ReportSpec, custom_table
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.token import Token
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFnError
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.reference_rows import parse_reference
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.transport import HttpTransport, Reply
from matomo_fn.sites import Site
from matomo_fn.sync.scope import resolve_scope
from matomo_fn.warehouse.buffer import BufferedSlice
from tests.fuzz.fuzzing import (
    Edit,
    Patch,
    assert_sentence,
    documents,
    edited,
    edits,
    encoded,
    fuzzed,
    nothing_unforeseen,
    outcome_of,
    patched,
    patches,
)
from tests.fuzz.place import SPAN, TABLES, Place, half_written, opened
from tests.support.canary import CANARY, assert_absent
from tests.support.extracting import extract_all
from tests.support.recorded_matomo import DAY, ZONE, RecordedMatomo
from tests.support.recordings import Scripted, client_of, read
from tests.support.visits import PARIS, server_of
from tests.support.wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matomo_fn.catalogue import Column, Table
    from matomo_fn.extract.extracted import Extracted
    from matomo_fn.matomo.client import MatomoClient

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SITE = Site("1", "Shop", PARIS, date(2020, 1, 1))
OPEN_TABLES = [
    custom_table(ReportSpec("UserCountry.getCountry", name="open_country")),
    custom_table(ReportSpec("VisitsSummary.get", name="open_summary"), is_one_row=True),
]
REPORTS = [*EXTENDED.values(), *OPEN_TABLES]

# What becomes of an answer: nothing, changes of its value, another value, or changes of its bytes.
Spoiling = tuple[str, "Sequence[Edit]", Any, "Sequence[Patch]"]
spoilings = st.tuples(
    st.sampled_from(["edit", "edit", "edit", "edit", "replace", "patch", "none"]), edits, documents, patches
)


def spoilt(value: Any, spoiling: Spoiling) -> bytes:
    """Return the body of an answer that something has become of."""
    kind, changes, other, pieces = spoiling
    if kind == "patch":
        return patched(encoded(value), pieces)
    if kind == "edit":
        return encoded(edited(value, changes))
    return encoded(other if kind == "replace" else value)


def fits(column: Column, value: Any, *, within: bool = False) -> bool:  # noqa: C901 - one way for each type
    """Whether a column takes a value of a staged line."""
    if value is None:
        return not column.required
    if column.repeated and not within:
        return isinstance(value, list) and all(fits(column, each, within=True) for each in value)
    match column.type:
        case ColumnType.STRUCT:
            fields = {field.name: field for field in column.fields}
            return isinstance(value, dict) and all(name in fields and fits(fields[name], value[name]) for name in value)
        case ColumnType.INT64:
            return not isinstance(value, bool | float) and -(2**63) <= int(value) < 2**63
        case ColumnType.FLOAT64:
            return not isinstance(value, bool | str) and abs(float(value)) < float("inf")
        case ColumnType.NUMERIC:
            return not isinstance(value, bool) and abs(Decimal(str(value))) < 10**29
        case ColumnType.BOOL:
            return isinstance(value, bool)
        case ColumnType.DATE:
            return bool(date.fromisoformat(value))
        case ColumnType.TIME:
            return time.fromisoformat(value.zfill(8)) is not None
        case ColumnType.TIMESTAMP:
            return bool(datetime.fromisoformat(value))
        case ColumnType.JSON:
            return True
        case _:
            return isinstance(value, str) and bool(value.encode() or True)


def no_constant(name: str) -> Any:
    """JSON has no NaN."""
    pytest.fail(name)


def assert_lines(columns: Sequence[Column], lines: Sequence[str | bytes]) -> None:
    """The lines are such as a load of these columns takes."""
    known = {column.name: column for column in columns}
    for line in lines:
        row = json.loads(line, parse_constant=no_constant)
        assert row.keys() <= known.keys()
        for name, value in row.items():
            assert fits(known[name], value), (name, value)


def context_of(client: MatomoClient, folder: Path, table: Table) -> ExtractContext:
    checks = ArchiveChecks(client, 3, NOW)
    columns = {table.name: OpenColumns(table, {})} if table.open else {}
    return ExtractContext(client, (5, 2), checks, lambda: True, OwnBuffers(folder, 10**12), NOW, (), columns)


def check(context: ExtractContext, table: Table, slices: Sequence[Extracted], days: Days) -> None:
    """Each slice came once: with rows that can be loaded, or with a sentence."""
    assert sorted(found.slice.date for found in slices) == list(days)
    for found in slices:
        event("rows" if found.content else "sentence")
        for sentence in (found.error, found.pending, found.skipped):
            if sentence is not None:
                assert_sentence(sentence)
        assert (found.content is None) == bool(found.error or found.pending or found.skipped)
        columns = context.columns[table.name].table.parsed if table.open else table.parsed
        if isinstance(found.content, ParsedSlice):
            assert_lines(columns, found.content.lines)
        elif isinstance(found.content, BufferedSlice):
            path = found.content.buffer.path
            assert_lines(table.staged, gzip.decompress(path.read_bytes()).splitlines())
            path.unlink()


# ---- reports


@fuzzed(20)
@given(st.sampled_from(REPORTS), spoilings, st.integers(1, 2))
def test_a_report_becomes_rows_or_a_sentence(tmp_path: Path, table: Table, spoiling: Spoiling, count: int) -> None:
    """Ranges, bulk answers and single days; also where the counts of visits, or the visits log, are the odd ones."""
    recorded = RecordedMatomo()

    def answer(method: str, form: Mapping[str, str]) -> Reply:
        value = recorded(method, form)
        return Reply(200, "application/json", None, "", spoilt(value, spoiling))

    days = Days.between(date.fromordinal(DAY.toordinal() + 1 - count), DAY)
    with nothing_unforeseen():
        client = client_of(Scripted(answer))
        context = context_of(client, tmp_path, table)
        found = outcome_of(lambda: list(extract_all(context, Job(SITE, (table,), days))))
    if not isinstance(found, MatomoFnError):
        check(context, table, found, days)


# ---- visits


@pytest.fixture(scope="module")
def recorded_visits() -> list[dict[str, Any]]:
    """The visits of the recorded day, one of each kind of action."""
    kinds = ("13", "action", "download", "ecommerceAbandonedCart", "ecommerceOrder", "event", "goal", "search")
    visits = {}
    for kind in kinds:
        for visit in json.loads(read(f"live_one_visit_with_{kind}.json").body):
            visits[visit["idVisit"]] = visit
    noon = int(datetime(2026, 11, 12, 12, tzinfo=UTC).timestamp())
    for number, visit in enumerate(visits.values()):
        visit |= {"firstActionTimestamp": noon + number, "lastActionTimestamp": noon + 60 * number, "idSite": "1"}
    return list(visits.values())


@fuzzed(20)
@given(spoiling=spoilings, chosen=st.integers(0, 7), every=st.booleans(), exclude=st.booleans())
def test_a_page_of_visits_becomes_rows_or_a_sentence(
    tmp_path: Path,
    recorded_visits: list[dict[str, Any]],
    spoiling: Spoiling,
    chosen: int,
    *,
    every: bool,
    exclude: bool,
) -> None:
    """A day is stored as a whole or not at all."""
    number = chosen % len(recorded_visits)
    server = server_of(recorded_visits[number : number + 2])
    calls = iter(range(10_000))

    def answer(method: str, form: Mapping[str, str]) -> Reply:
        if method == "VisitsSummary.get":
            return Reply(200, "application/json", None, "", encoded({str(DAY): {"nb_visits": 2}}))
        value = server.answer(method, form)
        as_it_is = not every and next(calls) != 0
        return Reply(200, "application/json", None, "", encoded(value) if as_it_is else spoilt(value, spoiling))

    excluded = ("visit_ip", "user_id", "actions.url", "actions.items", "raw") if exclude else ()
    with nothing_unforeseen():
        client = client_of(Scripted(answer), deadline=Deadline())
        checks = ArchiveChecks(client, 3, NOW)
        context = ExtractContext(client, (5, 2), checks, lambda: True, OwnBuffers(tmp_path, 10**12), NOW, excluded)
        found = outcome_of(lambda: list(extract_all(context, Job(SITE, (VISITS,), Days.of([DAY])))))
    if not isinstance(found, MatomoFnError):
        check(context, VISITS, found, Days.of([DAY]))
    assert not list(tmp_path.iterdir())


# ---- version, sites, metadata, segments, lists of settings


@pytest.fixture(scope="module")
def metadata() -> list[dict[str, Any]]:
    """Some reports of Matomo's metadata, of different kinds."""
    every: list[dict[str, Any]] = json.loads(read("meta_API.getReportMetadata_site1.json").body)
    return every[::9]


SEGMENTS = [{"name": "Phones", "definition": "deviceType==smartphone", "enable_only_idsite": "0", "deleted": "0"}]
CONNECTOR = read_connector(
    "shop",
    json.dumps(
        {
            "matomo_url": "https://matomo.example.com",
            "sites": "all",
            "reports": "all",
            "periods": ["week"],
            "segments": {"phones": "saved:Phones"},
        }
    ),
)
FIRST_CALLS = (
    *("API.getMatomoVersion", "SitesManager.getSitesWithAtLeastViewAccess", "API.getReportMetadata"),
    "SegmentEditor.getAll",
)


@fuzzed(20)
@given(method=st.sampled_from(FIRST_CALLS), spoiling=spoilings)
def test_what_a_run_asks_first_is_a_scope_or_an_error(
    metadata: list[dict[str, Any]], method: str, spoiling: Spoiling
) -> None:
    """Version, sites, metadata and saved segments: what is wrong with one site or report costs the others nothing."""
    recorded = RecordedMatomo()

    def answer(asked: str, form: Mapping[str, str]) -> Reply:
        values = {"API.getReportMetadata": metadata, "SegmentEditor.getAll": SEGMENTS}
        value = values[asked] if asked in values else recorded(asked, form)
        return Reply(200, "application/json", None, "", spoilt(value, spoiling) if asked == method else encoded(value))

    with nothing_unforeseen():
        client = client_of(Scripted(answer))
        scope = outcome_of(lambda: resolve_scope(client, CONNECTOR, read_request({"connector": "shop"}), NOW))
    event(type(scope).__name__)
    if isinstance(scope, MatomoFnError):
        return
    sentences = (*scope.missing_sites, *scope.refused_tables, *scope.missing_segments, *scope.left_out)
    for sentence in sentences:
        assert_sentence(sentence)
    for window in scope.windows:
        assert window.first <= window.last
    for table in scope.tables.values():
        assert table.schema.column_names
    assert all(window.site.timezone for window in scope.windows)


LISTS = {
    "sites": [{"idsite": 1, "name": "Shop", "timezone": ZONE, "ts_created": "2024-01-01 00:00:00", "ecommerce": 1}],
    "goals": json.loads(read("m53_goals_getGoals.json").body),
    "custom_dimensions": json.loads(read("meta_CustomDimensions.getConfigured_view.json").body),
    "segments": SEGMENTS,
}


@fuzzed(20)
@given(name=st.sampled_from(sorted(REFERENCE_TABLES)), spoiling=spoilings)
def test_a_list_of_settings_becomes_rows_or_an_error(name: str, spoiling: Spoiling) -> None:
    """One row for each key."""
    table = REFERENCE_TABLES[name]
    value = next(found for key, found in LISTS.items() if key in name)

    def answer(_method: str, _form: Mapping[str, str]) -> Reply:
        return Reply(200, "application/json", None, "", spoilt([value], spoiling))

    wanted = (table.method or "Goals.getGoals", "1")
    with nothing_unforeseen():
        lists = outcome_of(lambda: client_of(Scripted(answer)).settings_lists([wanted]))
        if isinstance(lists, MatomoFnError) or isinstance(lists[wanted], MatomoFnError):
            return
        constants = {column.name: "1" for column in table.columns if column.name == "website_id"}
        rows = outcome_of(lambda: parse_reference(table, lists[wanted], constants))
    event(type(rows).__name__)
    if not isinstance(rows, MatomoFnError):
        assert_lines(table.columns, [json.dumps(dict(row.values)) for row in rows])
        assert len({row.key for row in rows}) == len(rows)


# ---- the wire


class Wire(WireServer):
    """A server whose next answer is set by the test."""


STATUSES = st.sampled_from(
    [
        *(
            "200 OK",
            "200 OK",
            "200 OK",
            "200 OK",
            "100 Continue",
            "204 No",
            "206 Part",
            "301 Moved",
        ),
        *(
            "302 Found",
            "400 Bad",
            "401 No",
            "403 No",
            "404 No",
            "408 Late",
            "410 Gone",
            "413 Large",
        ),
        *(
            "429 Many",
            "500 Error",
            "502 Bad",
            "503 Busy",
            "599 Odd",
            "999 Odd",
            "0 Odd",
            "-1 Odd",
            "abc",
        ),
        *(
            "",
            "200",
            "200 ÿ",
        ),
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "Content-Type",
                "Retry-After",
                "Location",
                "Content-Encoding",
                "Transfer-Encoding",
            ),
            *(
                "Connection",
                "Set-Cookie",
                "X-Odd",
                "Content-Length",
                "X Odd",
                "",
                "é",
                "Trailer",
            ),
            *("Proxy-Authenticate",),
        ]
    ),
    st.sampled_from(
        [
            *(
                "application/json",
                "text/html; charset=utf-8",
                "gzip",
                "deflate",
                "br",
                "zstd",
                "gzip, gzip",
            ),
            *(
                "identity",
                "x",
                "chunked",
                "close",
                "keep-alive",
                "0",
                "1",
                "3",
                "17",
                "-1",
                "1e9",
                "9" * 400,
            ),
            *(
                "",
                "https://x/?a=%zz",
                "//",
                "ÿ",
                "http://[::1",
                CANARY,
            ),
            *(
                f"https://x.example.com/index.php?token_auth={CANARY}",
                "a\x00b",
                "x" * 5000,
                "²",
            ),
        ]
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire(b"") as server:
        yield server


def framed(body: bytes, status: str, headers: Mapping[str, str], packing: str) -> bytes:
    """Return the bytes of an answer with its length, in chunks, or up to the end of the connection."""
    fields = dict(headers)
    match packing:
        case "gzip":
            body = gzip.compress(body, 1)
            fields.setdefault("Content-Encoding", "gzip")
        case "deflate":
            body = zlib.compress(body, 1)
            fields.setdefault("Content-Encoding", "deflate")
        case "chunked":
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            fields.setdefault("Transfer-Encoding", "chunked")
    if packing != "end":
        fields.setdefault("Content-Length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1", "replace") + body


@fuzzed(20)
@given(
    st.sampled_from([[], {"value": "5.2.0"}, [{"a": 1}], {"result": "error", "message": CANARY}]),
    spoilings,
    STATUSES,
    HEADERS,
    st.sampled_from(["length", "gzip", "deflate", "chunked", "end"]),
    patches,
)
def test_what_comes_over_the_wire_is_a_value_or_an_error(
    wire: Wire,
    value: Any,
    spoiling: Spoiling,
    status: str,
    headers: dict[str, str],
    packing: str,
    pieces: Sequence[Patch],
) -> None:
    """Through the real transport: odd statuses, headers, encodings and framings, also cut off or with bytes changed."""
    wire.sent = patched(framed(spoilt(value, spoiling), status, headers, packing), pieces)
    wire.requests.clear()
    transport = HttpTransport(wire.url, Token(CANARY), timeout=0.5, deadline=Deadline())

    def call() -> object:
        return parse_response(transport.redact, "API.get", transport.post("API.get", {"idSite": "1"}))

    with nothing_unforeseen():
        found = outcome_of(call)
    event(type(found).__name__ if isinstance(found, MatomoFnError) else "value")


# ---- a whole run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with nothing_unforeseen(), opened(tmp_path_factory.mktemp("answers")) as running:
        yield running


CALLS = (
    "VisitsSummary.get",
    "UserCountry.getCountry",
    "Live.getLastVisitsDetails",
    "API.getBulkRequest",
    *FIRST_CALLS[:2],
)


@fuzzed(4, one_in=10)
@given(
    st.lists(st.tuples(st.sampled_from(CALLS), spoilings), min_size=1, max_size=2),
    st.sampled_from(["incremental", "backfill", "full_refresh"]),
    st.lists(st.sampled_from(TABLES), min_size=1, max_size=2, unique=True),
)
def test_no_slice_is_half_written_whatever_the_answers_of_a_run(
    place: Place, spoilt_calls: list[tuple[str, Spoiling]], mode: str, tables: list[str]
) -> None:
    """A slice that the run does not say to have written is as it was, and one that it wrote is what can be read."""
    place.reset()
    spoilings_of = dict(spoilt_calls)
    changed = False

    def spoil(method: str, reply: Reply) -> Reply:
        nonlocal changed
        if method not in spoilings_of:
            return reply
        changed = True
        body = spoilt(json.loads(reply.body), spoilings_of[method])
        return Reply(reply.status, reply.content_type, None, "", body)

    before = {table: place.rows(table) for table in TABLES}
    place.shop.remembering.spoil = spoil
    try:
        with nothing_unforeseen():
            result = outcome_of(partial(place.shop.sync, mode=mode, tables=tuple(tables), **SPAN))
    finally:
        place.shop.remembering.spoil = lambda _method, reply: reply
    event(type(result).__name__)
    if isinstance(result, MatomoFnError):
        assert {table: place.rows(table) for table in TABLES} == before
        return
    for sentence in result.as_dict()["errors"]:
        assert_sentence(sentence)
    written = {
        key
        for key, row in place.shop.states().items()
        if row["status"] == "written" and row["run_id"] == result.about.run_id
    }
    for table in TABLES:
        was, now = before[table], place.rows(table)
        assert was is not None
        assert now is not None
        changed_slices = [key for key in half_written(was, now, place.right[table]) if (table, *key) not in written]
        assert not changed_slices
    assert_absent(tables=repr([place.rows(table) for table in TABLES]))
    assert not place.shop.duplicates()
