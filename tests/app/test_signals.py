"""SIGINT and SIGTERM: real programs that are told to end, in every place where a run can wait."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import Fault, maintenance, rate_limited
from tests.app.cli.calling import COMMAND, environment
from tests.support import shop as shops
from tests.support.canary import assert_absent
from tests.support.server import ROOT, deployed
from tests.support.shop import DATASET, Shop, log_lines
from tests.support.wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

COUNTRIES = "UserCountry.getCountry"
VERSION = "API.getMatomoVersion"
# Seconds in which a program that was told to end has ended; no wait of these tests is as short.
SOON = 20.0
LONG = 250  # seconds of a wait that must not be waited for


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """Four days of two reports, one after the other."""
    with shops.running(tmp_path) as running:
        running.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1)
        yield running


class Held:
    """An answer of Matomo that is held back; ``arrived`` is set when it has been requested."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._free = threading.Event()

    def __call__(self, answer: object) -> object:
        """Hold back the answer."""
        self.arrived.set()
        self._free.wait(LONG)
        return answer

    def release(self) -> None:
        """Let it go."""
        self._free.set()


@contextmanager
def held(place: Shop, method: str, **when: Any) -> Iterator[Held]:
    """Hold back the answers to a method."""
    holding = Held()
    place.matomo.faults.add(Fault(method=method, mutate=holding, **when))
    try:
        yield holding
    finally:
        holding.release()


class Running:
    """A sync as a program of its own, whose log is read while it runs."""

    def __init__(self, place: Shop, *arguments: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "sync", "shop", "--json", *arguments],
            env=environment(place.env | env),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: deque[str] = deque()

    def wait_for(self, message: str) -> dict[str, Any]:
        """Read the log up to an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("{") and (found := json.loads(line))["message"] == message:
                return dict(found)
        raise AssertionError(f"it ended without {message}: {''.join(self.lines)}")

    def send(self, *signals: signal.Signals) -> None:
        """Send signals, one behind the other."""
        for number in signals:
            self.process.send_signal(number)

    def end(self) -> tuple[int, Any, list[dict[str, Any]]]:
        """Return the exit code, the answer and the log lines, soon."""
        out, err = self.process.communicate(timeout=SOON)
        log = "".join(self.lines) + err
        assert_absent(out=out, err=log)
        assert "Traceback" not in out + log
        return self.process.returncode, json.loads(out) if out else None, log_lines(log)


def written(place: Shop) -> dict[str, int]:
    """How many slices were written, by table, as the log has it."""
    return dict(
        Counter(row["table_name"] for row in place.contents()[(DATASET, "_sync_log")] if row["status"] == "written")
    )


def waits_for_an_answer(_run: Running, holding: Held) -> None:
    """The answer to the report's only call does not come."""
    assert holding.arrived.wait(SOON)


def waits_for_a_retry(run: Running, _holding: Held) -> None:
    """The server has asked to wait, or the pause between two tries has begun."""
    assert run.wait_for("matomo_call_failed")["wait"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (None, waits_for_an_answer),
        (rate_limited(Fault(method=COUNTRIES), retry_after=str(LONG)), waits_for_a_retry),
        (maintenance(Fault(method=COUNTRIES, headers={"Retry-After": str(LONG)})), waits_for_a_retry),
    ],
    ids=["answer", "rate limited", "maintenance"],
)
def test_a_run_that_is_told_to_end_writes_what_it_has_and_says_what_remains(
    place: Shop, number: signal.Signals, fault: Fault | None, waits: Callable[[Running, Held], None]
) -> None:
    """Wherever it waits: what was fetched is written and logged, one line tells the end, and the next run goes on."""
    if fault:
        place.matomo.faults.add(fault)
    with held(place, COUNTRIES) as holding:
        run = Running(place)
        waits(run, holding)
        run.send(number)
        code, answer, lines = run.end()
    assert (code, answer["status"]) == (1, "stopped")
    assert {name: (table["written"], table["remaining"]) for name, table in answer["tables"].items()} == {
        "visits_summary": (4, 0),
        "visitor_country": (0, 4),
    }
    assert answer["notes"] == [
        f"stopped by {number.name}: what was fetched is written, and 4 slices remain for the next run"
    ]
    (stopping,) = (line for line in lines if line["message"] == "run_stopping")
    (finished,) = (line for line in lines if line["message"] == "run_finished")
    assert (stopping["signal"], finished["status"], finished["severity"]) == (number.name, "stopped", "WARNING")
    assert written(place) == {"visits_summary": 4}
    place.matomo.faults.clear()
    code, answer, _ = Running(place).end()
    assert (code, answer["status"]) == (0, "complete")
    assert written(place)["visitor_country"] == 4


def test_a_run_that_waits_for_the_rate_limit_ends_as_well(place: Shop) -> None:
    """At one call a minute the third one waits for two."""
    place.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, requests_per_minute=2)
    run = Running(place)
    run.wait_for("run_started")  # version and sites were the two calls of this minute
    run.send(signal.SIGINT)
    code, answer, _ = run.end()
    assert (code, answer["status"], answer["matomo_calls"]) == (1, "stopped", 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_knows_nothing_yet_ends_with_a_sentence(place: Shop, number: signal.Signals) -> None:
    """The very first call does not come back."""
    with held(place, VERSION) as holding:
        run = Running(place)
        assert holding.arrived.wait(SOON)
        run.send(number)
        code, answer, lines = run.end()
    sentence = f"stopped by {number.name} before anything was fetched"
    assert (code, answer["status"], answer["errors"]) == (1, "failed", [sentence])
    (finished,) = (line for line in lines if line["message"] == "run_finished")
    assert (finished["status"], finished["errors"]) == ("stopped", [sentence])


def test_many_signals_at_once_do_not_lock_it(place: Shop) -> None:
    """The first stops it and the second ends it; which of the two came first to its end does not matter."""
    place.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=8)
    with held(place, COUNTRIES) as holding:
        run = Running(place)
        assert holding.arrived.wait(SOON)
        run.send(*[signal.SIGINT] * 20)
        code, _, lines = run.end()
    assert code in (1, 130)
    assert any(line["message"] == "run_stopping" for line in lines)


def test_a_second_signal_ends_a_run_that_cannot_write(place: Shop) -> None:
    """A BigQuery that does not answer holds it for minutes: the first signal waits for it, the second does not."""
    with WireServer(b"", silent=True) as server:
        bigquery = {"MATOMO_FN_WAREHOUSE": "bigquery", "GOOGLE_CLOUD_PROJECT": "test"}
        run = Running(place, **bigquery, BIGQUERY_EMULATOR_HOST=server.url)
        run.wait_for("run_started")
        run.send(signal.SIGTERM)
        run.wait_for("run_stopping")
        run.send(signal.SIGINT)
        code, answer, lines = run.end()
    assert (code, answer) == (130, None)
    assert (lines[-1]["message"], lines[-1]["signal"]) == ("run_abandoned", "SIGINT")


def post(url: str, request: object) -> tuple[int, Any]:
    """Send a request and return status and answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode())) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def events(output: str) -> Sequence[dict[str, Any]]:
    """The log lines among what gunicorn writes."""
    return log_lines("\n".join(line for line in output.splitlines() if line.startswith("{")))


def test_an_instance_that_is_told_to_end_ends_its_runs_first(place: Shop) -> None:
    """Behind gunicorn, whose worker has a handler of its own: the caller still gets an answer, and the log its line."""
    answers: list[tuple[int, Any]] = []
    with held(place, COUNTRIES) as holding, deployed("sync", env=place.env) as program:
        caller = threading.Thread(target=lambda: answers.append(post(program.url, {"connector": "shop"})))
        caller.start()
        assert holding.arrived.wait(SOON)
        program.process.popen.terminate()
        caller.join(SOON)
        assert program.process.popen.wait(SOON) == 0
        lines = events(program.process.stdout)
    ((status, answer),) = answers
    assert (status, answer["status"]) == (503, "stopped")
    assert [line["message"] for line in lines][-1] == "run_finished"
    assert {line["message"]: line for line in lines}["instance_stopping"]["runs"] == 1
    assert written(place) == {"visits_summary": 4}


def test_an_instance_without_a_run_ends_at_once(place: Shop) -> None:
    """The signal reaches gunicorn all the same, also after a run."""
    with deployed("sync", env=place.env) as program:
        assert post(program.url, {"connector": "shop"})[0] == 200
        program.process.popen.terminate()
        assert program.process.popen.wait(SOON) == 0
