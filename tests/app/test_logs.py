"""What a run writes to standard output: lines that Cloud Logging understands, or that a person reads."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
import structlog

from fake_matomo import Fault
from matomo_fn.app.logs import configure_logs, trace_fields
from matomo_fn.redaction import protect
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.clock import Clock, budget_by
from tests.support.server import deployed
from tests.support.shop import Shop, log_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = {
    "connector": "shop",
    "start_date": "2024-03-05",
    "end_date": "2024-03-06",
    "tables": ["visits_summary", "visitor_country"],
}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE_FIELD, SPAN_FIELD = "logging.googleapis.com/trace", "logging.googleapis.com/spanId"
COUNTRIES = "UserCountry.getCountry"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """A connector that works, and an empty warehouse."""
    with shop.running(tmp_path) as running:
        yield running


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_each_event_is_one_json_line_with_severity_message_and_time(
    place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """On standard output, where the platform picks them up; severity and message stand first."""
    place.post(REQUEST)
    output = capfd.readouterr()
    lines = log_lines(output.out)
    assert [line["message"] for line in lines] == ["run_started", "table_written", "table_written", "run_finished"]
    for line in lines:
        assert list(line)[:2] == ["severity", "message"]
        assert line["severity"] == "INFO"
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert output.err == ""


@pytest.mark.parametrize(
    ("fault", "severity", "status"),
    [
        (None, "INFO", "complete"),
        (Fault(method=COUNTRIES, message="no"), "ERROR", "failed"),
        (Fault(status=401, message="no"), "ERROR", "failed"),
    ],
)
def test_a_run_ends_with_exactly_one_line_that_sums_it_up(
    place: Shop, capfd: pytest.CaptureFixture[str], fault: Fault | None, severity: str, status: str
) -> None:
    """Its severity is what an alert looks at; it has what the caller got, under the run's id."""
    if fault:
        place.matomo.faults.add(fault)
    answer = place.post(REQUEST).get_json()
    lines = log_lines(capfd.readouterr().out)
    (line,) = [line for line in lines if line["message"] == "run_finished"]
    assert (line["severity"], line["status"], line["connector"]) == (severity, status, "shop")
    assert line["errors"] == answer["errors"]
    assert {line["run_id"] for line in lines if "run_id" in line} == {answer.get("run_id", line["run_id"])}
    if "tables" in answer:
        assert line["tables"] == answer["tables"]
        assert line["matomo_calls"] == answer["matomo_calls"]


def test_a_run_that_had_no_time_left_is_a_warning(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Slices are left for the next run: nothing to fix, something to know."""
    # Version and sites come, each in time, and then less is left than the quarter that is kept for writing.
    clock = Clock()
    place.matomo.faults.add(Fault(method="API.getMatomoVersion|SitesManager.*", mutate=clock.taking(12)))
    with budget_by(clock):
        answer = place.post(REQUEST, MATOMO_FN_TIME_BUDGET="30").get_json()
    assert (answer["status"], {table["remaining"] for table in answer["tables"].values()}) == ("partial", {2})
    last = log_lines(capfd.readouterr().out)[-1]
    assert (last["message"], last["severity"], last["status"]) == ("run_finished", "WARNING", "partial")


@pytest.mark.parametrize(
    ("headers", "span"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, SPAN),
        ({"X-Cloud-Trace-Context": f"{TRACE}/123456;o=1"}, "000000000001e240"),
        ({"X-Cloud-Trace-Context": TRACE}, None),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Cloud-Trace-Context": f"{'f' * 32}/1;o=1"}, SPAN),
    ],
)
def test_every_line_of_a_request_carries_its_trace(
    place: Shop, capfd: pytest.CaptureFixture[str], headers: dict[str, str], span: str | None
) -> None:
    """Also those of the threads that ask Matomo; so the platform shows them below the request."""
    place.matomo.faults.add(Fault(method=COUNTRIES, times=2, message="too long"))
    place.post(REQUEST, headers=headers, GOOGLE_CLOUD_PROJECT="p")
    lines = log_lines(capfd.readouterr().out)
    assert "range_split_into_days" in {line["message"] for line in lines}
    assert {line[TRACE_FIELD] for line in lines} == {f"projects/p/traces/{TRACE}"}
    assert {line.get(SPAN_FIELD) for line in lines} == {span}
    assert len({line["run_id"] for line in lines}) == 1


@pytest.mark.parametrize(
    ("headers", "project"),
    [
        ({}, "p"),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, ""),
        ({"traceparent": "00-xyz-1-01"}, "p"),
        ({"x-cloud-trace-context": "short/1;o=1"}, "p"),
        ({"x-cloud-trace-context": f"{TRACE}/1\nseverity: x"}, "p"),
    ],
)
def test_without_a_trace_or_a_project_there_are_no_fields(headers: dict[str, str], project: str) -> None:
    """What does not look like a trace is not passed on."""
    assert trace_fields(headers, project) == {}


def test_one_requests_fields_do_not_stick_to_the_next(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """An instance serves many: neither trace nor run of an earlier request may stand in a later one's lines."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    first = place.post(REQUEST, headers=headers, GOOGLE_CLOUD_PROJECT="p").get_json()
    capfd.readouterr()
    place.post({**REQUEST, "mode": "x"}, GOOGLE_CLOUD_PROJECT="p")
    (line,) = log_lines(capfd.readouterr().out)
    assert (line["message"], line["severity"]) == ("request_refused", "ERROR")
    assert not {TRACE_FIELD, SPAN_FIELD} & line.keys()
    assert line["run_id"] != first["run_id"]


def test_a_terminal_gets_lines_to_read(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """With the form ``text`` anywhere: no JSON, the time of day, no colours where nobody sees them."""
    place.post(REQUEST, MATOMO_FN_LOG_FORMAT="text")
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("\x1b" not in line and not line.startswith("{") for line in lines)
    assert "run_finished" in lines[-1]


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("text", io.StringIO, False),
    ],
)
def test_the_form_is_what_is_asked_for_or_what_fits_the_stream(
    form: str, stream: type[io.StringIO], *, is_json: bool
) -> None:
    """``auto`` is lines to read on a terminal, JSON everywhere else."""
    target = stream()
    configure_logs(form, target)
    structlog.get_logger().warning("something", label="Été “1”")
    (line,) = target.getvalue().splitlines()
    assert line.startswith("{") == is_json
    assert "Été “1”" in line
    if is_json:
        (event,) = log_lines(line)
        assert (event["severity"], event["message"], event["label"]) == ("WARNING", "something", "Été “1”")


def test_an_exception_stands_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Its traceback is a field, as Error Reporting wants it, and not lines of their own."""
    configure_logs("json")
    try:
        int("unforeseen")
    except ValueError:
        structlog.get_logger().exception("broke")
    (line,) = log_lines(capfd.readouterr().out)
    assert line["severity"] == "ERROR"
    assert "ValueError: invalid literal" in line["stack_trace"]


def test_the_deployed_program_logs_info_lines_and_no_token(place: Shop) -> None:
    """As the platform runs it, with LOG_EXECUTION_ID set, which puts the root logger on WARNING."""
    import json
    import urllib.request

    with deployed("sync", env=place.env | {"LOG_EXECUTION_ID": "true"}) as program:
        request = urllib.request.Request(program.url, json.dumps(REQUEST).encode())
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["status"] == "complete"
        events = [line for line in program.process.stdout.splitlines() if line.startswith("{")]
        assert [event["message"] for event in log_lines("\n".join(events))][-1] == "run_finished"
        assert_absent(output=program.output)


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_is_long_is_shortened(form: str) -> None:
    """An entry of Cloud Logging has at most 256 KB, and nobody reads a megabyte."""
    target = io.StringIO()
    configure_logs(form, target)
    structlog.get_logger().error("refused", error="x" * 10**6, problems=["y" * 10**5] * 10_000, deep={"z" * 5_000: "z"})
    (line,) = target.getvalue().splitlines()
    assert len(line) < 256_000
    assert "x... (999000 more characters)" in line
    assert "... (9800 more)" in line


@pytest.mark.parametrize("sign", ["\x1b", "\x00", "\x07", "\x7f", "\x9b", "\n", "\u2028", "\u202e", "\ud800"])
def test_a_terminal_gets_no_sign_that_it_would_obey(sign: str) -> None:
    """A label of a hostile visitor's could clear the screen, write other lines or set the window's title."""
    target = io.StringIO()
    configure_logs("text", target)
    error = f"before{sign}]0;title"
    structlog.get_logger().error(f"refused{sign}", error=error, errors=[error], inner={error: error})
    written = target.getvalue().removesuffix("\n")
    assert sign not in written
    assert "before" in written


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_stands_in_no_field_of_any_kind(form: str) -> None:
    """Not in a text, a list, a key, a number, an object or a traceback."""
    protect(CANARY)
    target = io.StringIO()
    configure_logs(form, target)
    try:
        int(CANARY)
    except ValueError as error:
        structlog.get_logger().exception("broke", a=CANARY, b=[CANARY], c={CANARY: {"x": (CANARY,)}}, d=error)
    assert target.getvalue().count("***") >= 6
    assert_absent(log=target.getvalue())
