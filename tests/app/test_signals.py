"""SIGINT and SIGTERM: real programs that are told to end, in every place where a run can wait."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import Fault, maintenance, rate_limited
from matomo_fn.app import signals
from matomo_fn.deadline import Deadline
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from tests.app.cli.calling import COMMAND, environment
from tests.support import shop as shops
from tests.support.canary import assert_absent
from tests.support.proxy import Proxy, already_exists, is_job, proxied, with_status
from tests.support.server import ROOT, deployed
from tests.support.shop import DATASET, Shop, log_lines
from tests.support.warehouses import states
from tests.support.wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Answer, Request

COUNTRIES = "UserCountry.getCountry"
VERSION = "API.getMatomoVersion"
# Seconds in which a program that was told to end has ended; no wait of these tests is as short.
SOON = 45.0
# Seconds after SIGTERM in which Cloud Run kills a program.
KILLED = 10.0
LONG = 250  # seconds of a wait that must not be waited for


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """Four days of two reports, one after the other: those that are paged share no call."""
    with shops.running(tmp_path) as running:
        running.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1, page_rows=1000)
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


# Each signal in each kind of wait: what a server asks to wait for is one kind, whatever its status.
@pytest.mark.parametrize(
    ("number", "fault", "waits"),
    [
        (signal.SIGINT, None, waits_for_an_answer),
        (signal.SIGTERM, None, waits_for_an_answer),
        (signal.SIGINT, rate_limited(Fault(method=COUNTRIES), retry_after=str(LONG)), waits_for_a_retry),
        (signal.SIGTERM, maintenance(Fault(method=COUNTRIES, headers={"Retry-After": str(LONG)})), waits_for_a_retry),
    ],
    ids=["SIGINT-answer", "SIGTERM-answer", "SIGINT-rate limited", "SIGTERM-maintenance"],
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
    later = place.post({"connector": "shop"})
    assert (later.status_code, json.loads(later.data)["status"]) == (200, "complete")
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


LOST = """
import signal, sys
from matomo_fn.__main__ import main
{patch}
class Finalised:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # the KeyboardInterrupt is printed here, and ignored
sys.argv = ["matomo-fn", {arguments}]
main()
"""
BEFORE_THE_RUN = """
import matomo_fn.app.wiring as wiring
def deadline(*arguments, real=wiring.Deadline):
    Finalised()
    return real(*arguments)
wiring.Deadline = deadline
"""
WHEN_ALL_IS_DONE = """
import matomo_fn.app.wiring as wiring
def sync(*arguments, real=wiring.sync):
    result = real(*arguments)
    signal.raise_signal(signal.SIGINT)
    return result
wiring.sync = sync
"""
INTO_A_FAILURE = """
import matomo_fn.app.wiring as wiring
from matomo_fn.errors import WarehouseUnavailable
def sync(*arguments):
    signal.raise_signal(signal.SIGINT)
    raise WarehouseUnavailable("BigQuery has no time")
wiring.sync = sync
"""
IN_AN_IMPORT = """
class Finder:
    def find_spec(self, name, *_):
        if name == "matomo_fn.app.cli.commands":
            Finalised()
sys.meta_path.insert(0, Finder())
"""


def interrupted(folder: Path, patch: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that gets SIGINT at one place."""
    text = LOST.format(patch=patch, arguments=", ".join(map(repr, arguments)))
    return subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder,
        env=environment(env | {"PYTHONPATH": str(ROOT)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_interrupt_that_python_loses_before_a_run_ends_the_run(place: Shop) -> None:
    """KeyboardInterrupt in a finaliser is printed and ignored; the run that begins then ends nevertheless."""
    done = interrupted(place.secrets, BEFORE_THE_RUN, "sync", "shop", "--json", **place.env)
    assert "Exception ignored in" in done.stderr
    assert (done.returncode, json.loads(done.stdout)["errors"]) == (
        1,
        ["stopped by SIGINT before anything was fetched"],
    )
    assert place.matomo.http_requests == 0


@pytest.mark.parametrize("patch", [BEFORE_THE_RUN, WHEN_ALL_IS_DONE], ids=["before a run", "when it is done"])
def test_an_interrupt_beside_a_run_ends_the_demo(tmp_path: Path, patch: str) -> None:
    """Neither the sync that begins then nor the next one is run."""
    done = interrupted(tmp_path, patch, "demo", "--days", "2")
    assert done.returncode == 130
    assert "stopped; what was written stays in matomo-demo" in done.stderr
    assert "second sync" not in done.stdout


@pytest.mark.parametrize(
    ("patch", "first", "second"),
    [
        (WHEN_ALL_IS_DONE, "complete", "stopped before it began"),
        (INTO_A_FAILURE, "failed", "stopped by SIGINT before anything was fetched"),
    ],
    ids=["complete", "failed"],
)
def test_after_an_interrupt_no_other_connector_is_synced(place: Shop, patch: str, first: str, second: str) -> None:
    """However the run ended that was told to end."""
    (place.secrets / "matomo-blog-config").write_bytes((place.secrets / "matomo-shop-config").read_bytes())
    (place.secrets / "matomo-blog-token").write_bytes((place.secrets / "matomo-shop-token").read_bytes())
    done = interrupted(place.secrets, patch, "sync", "shop", "blog", "--json", **place.env)
    answers = json.loads(done.stdout)["connectors"]
    assert (done.returncode, answers["shop"]["status"]) == (1, first)
    assert answers["blog"]["errors"] == [second]


def test_an_instance_that_was_told_to_end_begins_no_run(place: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that comes in between is for another instance."""
    monkeypatch.setattr(signals, "_told", [signal.SIGTERM])
    answer = place.post({"connector": "shop"})
    assert (answer.status_code, json.loads(answer.data)["errors"]) == (
        503,
        ["stopped by SIGTERM before anything was fetched"],
    )
    assert place.matomo.http_requests == 0


def test_an_interrupt_during_the_imports_ends_the_program(tmp_path: Path) -> None:
    """At once and without a traceback: nothing has begun."""
    done = interrupted(tmp_path, IN_AN_IMPORT, "sync", "--help")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    """As behind nohup, or in the background of a shell's script."""
    ignore = f"{IN_AN_IMPORT}\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"
    done = interrupted(tmp_path, ignore, "sync", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: matomo-fn sync")


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_whose_warehouse_does_not_answer_ends_at_once_where_there_is_nothing_to_write(
    place: Shop, number: signal.Signals
) -> None:
    """BigQuery takes the connection and stays silent while the run makes its tables ready."""
    with WireServer(b"", silent=True) as server:
        bigquery = {"MATOMO_FN_WAREHOUSE": "bigquery", "GOOGLE_CLOUD_PROJECT": "test"}
        run = Running(place, **bigquery, BIGQUERY_EMULATOR_HOST=server.url)
        assert server.arrived.wait(SOON)
        run.send(number)
        code, answer, lines = run.end()
    sentence = f"stopped by {number.name} before anything was fetched"
    assert (code, answer["errors"]) == (1, [sentence])
    (finished,) = (line for line in lines if line["message"] == "run_finished")
    assert (finished["status"], finished["errors"]) == ("stopped", [sentence])


class StuckProxy(Proxy):
    """A BigQuery of which one job does not come to an end: it runs for ever, or the looks at it are not answered."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.reached, self.free = threading.Event(), threading.Event()
        self._job = ""
        self._is_silent = False

    def hold(self, job: str, *, silent: bool = False) -> None:
        """Let a job with that in its name not come to an end."""
        self._job, self._is_silent = job, silent
        # What was submitted is running, so that it is looked at.
        self.alter(
            with_status(state="RUNNING"), when=lambda r: self._is_look(r) or (is_job(r) and job.encode() in r.body)
        )

    def _is_start(self, request: Request) -> bool:
        return is_job(request) and self._job.encode() in request.body

    def _is_look(self, request: Request) -> bool:
        return request.method == "GET" and "/jobs/" in request.path and self._job in request.path

    def pass_on(self, request: Request) -> Answer:
        """Return the server's answer, or nothing until the test is over."""
        if self._job and self._is_look(request):
            self.reached.set()
            if self._is_silent:
                self.free.wait(LONG)
        return super().pass_on(request)


@pytest.fixture
def bigquery(place: Shop, emulator: Emulator, dataset_name: str) -> Iterator[StuckProxy]:
    """What stands before the emulator; the run writes to a dataset of its own there."""
    place.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1, dataset=dataset_name)
    proxy = StuckProxy(emulator.address)
    proxy.keep_staging()
    with proxied(emulator.address, proxy):
        proxy.alter(already_exists)
        yield proxy
        proxy.free.set()


def run_until_stuck(place: Shop, bigquery: StuckProxy) -> Running:
    """Return a run that waits for the job which does not come to an end."""
    env = {"MATOMO_FN_WAREHOUSE": "bigquery", "GOOGLE_CLOUD_PROJECT": "test", "BIGQUERY_EMULATOR_HOST": bigquery.url}
    run = Running(place, **env)
    assert bigquery.reached.wait(3 * SOON)
    return run


def end_in_time(run: Running) -> tuple[int, Any, dict[str, Any]]:
    """Send SIGTERM, and return code, answer and ``run_finished``, which was logged before Cloud Run kills a program."""
    run.send(signal.SIGTERM)
    code, answer, lines = run.end()
    (stopping,) = (line for line in lines if line["message"] == "run_stopping")
    (finished,) = (line for line in lines if line["message"] == "run_finished")
    times = [datetime.fromisoformat(line["time"]) for line in (stopping, finished)]
    assert (times[1] - times[0]).total_seconds() < KILLED
    return code, answer, finished


@pytest.mark.parametrize("silent", [False, True], ids=["a job that runs for ever", "a call without an answer"])
def test_a_table_that_cannot_be_written_costs_no_other_table_its_rows_after_a_signal(
    place: Shop, bigquery: StuckProxy, emulator: Emulator, dataset_name: str, *, silent: bool
) -> None:
    """When Cloud Run would kill it, the other table is written and logged, and the job given up."""
    bigquery.hold("merge_staging_visitor_country", silent=silent)
    code, answer, finished = end_in_time(run_until_stuck(place, bigquery))
    assert (code, answer["status"]) == (1, "failed")
    (sentence,) = answer["errors"]
    assert sentence.startswith("table visitor_country: BigQuery ")
    assert {name: table["written"] for name, table in answer["tables"].items()} == {
        "visits_summary": 4,
        "visitor_country": 0,
    }
    assert bigquery.count("POST", "/jobs/matomo_fn_[^/]*_merge_staging_visitor_country_[^/]*/cancel") == 1
    assert finished["errors"] == [sentence]
    assert logged(emulator, dataset_name) == {("visits_summary", "written"): 4, ("visitor_country", "failed"): 4}


def test_a_log_that_cannot_be_written_after_a_signal_ends_with_the_sentence_of_what_is_lost(
    place: Shop, bigquery: StuckProxy
) -> None:
    """The next run fetches these slices again."""
    bigquery.hold("append_staging__sync_log")
    code, answer, finished = end_in_time(run_until_stuck(place, bigquery))
    assert code == 1
    (sentence,) = answer["errors"]
    assert sentence.startswith(
        "stopped by SIGTERM, and 8 slices that were fetched are not logged: the next run fetches them again. BigQuery "
    )
    assert (finished["status"], finished["errors"]) == ("failed", [sentence])


def test_a_second_signal_ends_a_run_that_cannot_write(place: Shop, bigquery: StuckProxy) -> None:
    """A BigQuery that does not answer holds it for a minute after Ctrl-C: the second one does not wait."""
    bigquery.hold("merge_staging_visitor_country")
    run = run_until_stuck(place, bigquery)
    run.send(signal.SIGINT)
    run.wait_for("run_stopping")
    run.send(signal.SIGINT)
    code, answer, lines = run.end()
    assert (code, answer) == (130, None)
    assert (lines[-1]["message"], lines[-1]["signal"]) == ("run_abandoned", "SIGINT")


# At a terminal of its own, with each slice written for itself while eight threads wait for room: a write that hangs, in
# the turn that DuckDB's statements take.
STUCK_IN_A_MERGE = """
import fcntl, os, termios, threading
import matomo_fn.extract.worker_pool as pool
import matomo_fn.sync.write as write
from matomo_fn.warehouse import duckdb
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
pool._WAITING = write.MAX_SLICES = 1
def run(self, statement, job, real=duckdb.DuckDBWarehouse.run):
    if not job.startswith("merge_staging_visitor_country"):
        return real(self, statement, job)
    with duckdb._TURN:
        os.write(2, b"WRITING")
        threading.Event().wait()
duckdb.DuckDBWarehouse.run = run
"""
CTRL_C = b"\x03"


def test_a_second_ctrl_c_at_a_terminal_ends_a_run_that_writes(place: Shop, tmp_path: Path) -> None:
    """It does not wait for the write, nor for the threads that wait for it; the next run writes what is missing."""
    place.configure(reports=["visits_summary", "visitor_country"], backfill_days=40, concurrency=8)
    text = LOST.format(patch=STUCK_IN_A_MERGE, arguments="'sync', 'shop'")
    (tmp_path / "temporary").mkdir()
    env = {"MATOMO_FN_LOG_FORMAT": "auto", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        env=environment(place.env | env | {"TERM": "xterm"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen = Screen(ours)
    try:
        screen.wait_for("WRITING")
        os.write(ours, CTRL_C)
        screen.wait_for("Ctrl-C again ends at once")
        os.write(ours, CTRL_C)
        assert process.wait(SOON) == 130
        shown = screen.rest()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert_absent(shown=shown)
    assert "Traceback" not in shown
    code, answer, _ = Running(place, TMPDIR=str(tmp_path / "temporary")).end()
    assert (code, answer["status"]) == (0, "complete")
    assert written(place) == {"visits_summary": 40, "visitor_country": 40}
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not [table for _, table in place.contents() if table.startswith("_staging_")]


class Screen:
    """What a terminal shows, read as it comes."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""
        self._read = 0

    def wait_for(self, text: str) -> None:
        """Read up to a text."""
        while text not in self._shown[self._read :]:
            ready, _, _ = select.select([self._terminal], [], [], SOON)
            assert ready, f"{text!r} did not come: {self._shown}"
            assert self._more(), f"it ended without {text!r}: {self._shown}"
        self._read = self._shown.index(text, self._read) + len(text)

    def rest(self) -> str:
        """Return all that was shown, once the program has ended."""
        while self._more():
            pass
        return self._shown

    def _more(self) -> bool:
        try:
            data = os.read(self._terminal, 4096)
        except OSError:  # Linux says so when the last program has closed it
            return False
        self._shown += data.decode(errors="replace")
        return bool(data)


def logged(emulator: Emulator, dataset: str) -> dict[tuple[str, str], int]:
    """How many slices the log has, by table and status."""
    warehouse = BigQueryWarehouse(emulator.client(), dataset, location="EU", run_id="look", deadline=Deadline(60))
    try:
        return dict(Counter((table, row["status"]) for (table, _, _), row in states(warehouse).items()))
    finally:
        warehouse.close()


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


def test_a_signal_ends_a_wait_that_it_does_not_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs its handlers between two steps of the main thread, which takes none while it waits for a lock."""
    monkeypatch.setattr(signals, "_told", [])
    deadline, waits = Deadline(), threading.Event()

    def tell() -> None:
        waits.wait(SOON)
        os.kill(os.getpid(), signal.SIGTERM)  # taken by this thread, since the main one blocks it

    with signals.ends_by_signal(deadline):
        teller = threading.Thread(target=tell)
        teller.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            began = time.monotonic()
            waits.set()
            deadline.pause(SOON)
            waited = time.monotonic() - began
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            teller.join()
    assert deadline.interrupted_by == "SIGTERM"
    assert waited < SOON / 2
