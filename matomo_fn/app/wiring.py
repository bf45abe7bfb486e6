"""From settings and a request to a result: opens the parts, runs the sync, and logs how it ended."""

import secrets as random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from matomo_fn.app.fan_out import Handing, fan_out_of
from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.signals import ends_by_signal
from matomo_fn.config.connector import Connector
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.secret_store import open_secret_store, read_token
from matomo_fn.config.settings import Settings
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoFnError, Stopped, UnforeseenError, UnknownConnector
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.interruptible import InterruptibleTransport
from matomo_fn.matomo.rate_limit import RateLimit, Share
from matomo_fn.matomo.retries import ATTEMPTS
from matomo_fn.matomo.transport import HttpTransport
from matomo_fn.sync.budget import Budget, Claimant, held
from matomo_fn.sync.leases import LeaseTable
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.reference import reference_scope
from matomo_fn.sync.result import PlanResult, RunResult
from matomo_fn.sync.run import Progress, no_progress, plan_sync, sync
from matomo_fn.sync.session import Session
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse.protocol import Warehouse

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """A connector with its token; ``allow_private``: its Matomo may be at an address that is not public."""

    connector: Connector
    token: Token
    allow_private: bool = True


def read_credentials(settings: Settings, name: str) -> Credentials:
    """Return a connector's configuration and token; every problem of both is in the InputError."""
    secrets = open_secret_store(settings)
    problems: list[str] = []
    connector = token = None
    try:
        connector = find_connector(secrets, name)
    except UnknownConnector:
        raise  # of another connector's token nothing is to be said
    except InputError as error:
        problems += error.problems
    try:
        token = read_token(secrets, name)
    except InputError as error:
        problems += error.problems
    if connector is None or token is None:
        raise InputError(problems)
    return Credentials(connector, token, settings.allow_private_addresses)


def make_transport(credentials: Credentials, deadline: Deadline) -> HttpTransport:
    """Return the way to the connector's Matomo; no exchange outlives the deadline."""
    connector = credentials.connector
    return HttpTransport(
        connector.matomo_url,
        credentials.token,
        timeout=connector.timeout_seconds,
        deadline=deadline,
        allow_private=credentials.allow_private,
    )


def make_client(
    credentials: Credentials, deadline: Deadline, *, attempts: int = ATTEMPTS, rate_limit: RateLimit | None = None
) -> MatomoClient:
    """Return a client of the connector's Matomo, within the bounds that the connector sets.

    None of its calls and waits outlives the deadline. ``rate_limit``: one that others share.
    """
    connector = credentials.connector
    return MatomoClient(
        InterruptibleTransport(make_transport(credentials, deadline), deadline),
        rate_limit or RateLimit.whole(Share.of(connector), sleep=deadline.pause),
        deadline,
        page_rows=connector.page_rows,
        attempts=attempts,
    )


@contextmanager
def open_look(settings: Settings, request: SyncRequest, run: Run, deadline: Deadline) -> Iterator[Session]:
    """Open what a plan is made with: it creates nothing, and holds no part of the connector's budget."""
    credentials = read_credentials(settings, request.connector)
    warehouse = open_warehouse(settings, credentials.connector, run_id=run.id, deadline=deadline, create=False)
    try:
        yield _session(settings, credentials, warehouse, deadline)
    finally:
        warehouse.close()


@contextmanager
def open_run(
    settings: Settings, request: SyncRequest, run: Run, deadline: Deadline, most_slots: int | None
) -> Iterator[Session]:
    """Open what a run works with, and hold its part of the connector's budget towards Matomo meanwhile.

    ``most_slots``: of a shard, how many slots it keeps while others want some. Raises BudgetTaken where other runs hold
    all of them.
    """
    credentials = read_credentials(settings, request.connector)
    connector = credentials.connector
    warehouse = open_warehouse(settings, connector, run_id=run.id, deadline=deadline)
    try:
        rate_limit = RateLimit(sleep=deadline.pause)
        ended = threading.Event()
        claimant = Claimant(run.id, run.started_at, most_slots)
        leases = LeaseTable(warehouse, connector)
        budget = Budget(leases, rate_limit, Share.of(connector), claimant, lambda seconds: not ended.wait(seconds))
        with held(budget, deadline, ended):
            yield _session(settings, credentials, warehouse, deadline, rate_limit)
    finally:
        warehouse.close()


def _session(
    settings: Settings,
    credentials: Credentials,
    warehouse: Warehouse,
    deadline: Deadline,
    rate_limit: RateLimit | None = None,
) -> Session:
    client = make_client(credentials, deadline, rate_limit=rate_limit)
    return Session(credentials.connector, client, warehouse, deadline, settings.buffer_megabytes * 1024 * 1024)


def new_run(request_id: str = "") -> Run:
    """Return a run that begins now; its id sorts by time and can stand in the name of a table."""
    started = datetime.now(UTC)
    name = f"{started:%Y%m%dT%H%M%S}_{random.token_hex(4)}"
    return Run(name, request_id or name, started)


def run_sync(
    settings: Settings,
    request: SyncRequest,
    run: Run,
    progress: Progress = no_progress,
    *,
    most_slots: int | None = None,
    handing: Handing = Handing.NOTHING,
) -> RunResult:
    """Run a request to its end, log that end in one line, and return the result.

    ``most_slots``: of a shard, how many slots of the connector's budget it keeps while other runs want some.
    ``handing``: what is handed on as messages, where there is a topic for them.

    SIGINT and SIGTERM end it early: what was fetched is written, and the result says what remains. Raises
    MatomoFnError where there is nothing to report on: bad input, no answer from Matomo, no warehouse, no budget, or
    something unforeseen.
    """
    structlog.contextvars.bind_contextvars(run_id=run.id)
    if request.part:
        run = replace(run, request_id=request.part.request_id)
        if request.part.count > 1 and most_slots is None:
            most_slots = 1  # so that the other shards are done beside it
        structlog.contextvars.bind_contextvars(request_id=run.request_id, shard=request.part.number)
    deadline = Deadline(settings.time_budget)
    with ends_by_signal(deadline):
        try:
            _refuse_stopped(deadline)
            with open_run(settings, request, run, deadline, most_slots) as session:
                fan_out = fan_out_of(settings, session.connector, request, deadline, handing)
                session = replace(session, fan_out=fan_out)
                result = sync(session, request, run, progress)
        except Stopped:
            sentence = f"stopped by {deadline.interrupted_by} before anything was fetched"
            log.warning("run_finished", connector=request.connector, status=str(Verdict.STOPPED), errors=[sentence])
            raise Stopped(sentence) from None
        except MatomoFnError as error:
            _log_failure(request, error)
            raise
        except Exception as error:  # noqa: BLE001 - a run ends in order, whatever happened
            unforeseen = UnforeseenError(note_unforeseen(error))
            _log_failure(request, unforeseen)
            raise unforeseen from None
        tell = log.warning if result.verdict in (Verdict.PARTIAL, Verdict.STOPPED) else log.info
        tell = log.error if result.verdict is Verdict.FAILED else tell
        told = {key: value for key, value in result.as_dict().items() if key not in ("run_id", "request_id")}
        if result.handed_on:  # their number: all of them may be more than a line of Cloud Logging has
            told["handed_on"] = len(result.handed_on)
        tell("run_finished", **told)
    return replace(result, stopped_by=deadline.interrupted_by)  # also where that came when all was done


def _refuse_stopped(deadline: Deadline) -> None:
    """Raise Stopped where the process was told to end before the run began."""
    if deadline.is_stopped:
        raise Stopped(f"stopped by {deadline.interrupted_by}")


def _log_failure(request: SyncRequest, error: MatomoFnError) -> None:
    log.error("run_finished", connector=request.connector, status=str(Verdict.FAILED), errors=list(error.sentences))


def make_plan(settings: Settings, request: SyncRequest) -> PlanResult:
    """Return what a request would extract and write; no report is requested, and nothing is written."""
    with open_look(settings, request, new_run(), Deadline(settings.time_budget)) as session:
        plan = plan_sync(session, request)
        reference = reference_scope(session.connector, request, plan.scope.visible, plan.scope.sites)
        return PlanResult(request.connector, session.warehouse.dataset, request.mode, plan, reference)
