"""From settings and a request to a result: opens the parts, runs the sync, and logs how it ended."""

import secrets as random
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
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.retries import ATTEMPTS
from matomo_fn.matomo.transport import HttpTransport
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.reference import reference_scope
from matomo_fn.sync.result import PlanResult, RunResult
from matomo_fn.sync.run import Progress, no_progress, plan_sync, sync
from matomo_fn.sync.session import Session
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.verdict import Verdict

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
        rate_limit or RateLimit(connector.requests_per_minute, sleep=deadline.pause),
        deadline,
        page_rows=connector.page_rows,
        attempts=attempts,
    )


@contextmanager
def open_session(
    settings: Settings,
    request: SyncRequest,
    run: Run,
    deadline: Deadline,
    *,
    create: bool,
    handing: Handing = Handing.NOTHING,
) -> Iterator[Session]:
    """Open what a run works with; ``create=False`` for one that only looks. ``handing``: what it hands on."""
    credentials = read_credentials(settings, request.connector)
    fan_out = fan_out_of(settings, credentials.connector, request, deadline, handing)
    warehouse = open_warehouse(settings, credentials.connector, run_id=run.id, deadline=deadline, create=create)
    try:
        yield Session(
            credentials.connector,
            make_client(credentials, deadline),
            warehouse,
            deadline,
            settings.buffer_megabytes * 1024 * 1024,
            fan_out=fan_out,
        )
    finally:
        warehouse.close()


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
    handing: Handing = Handing.NOTHING,
) -> RunResult:
    """Run a request to its end, log that end in one line, and return the result.

    ``handing``: what is handed on as messages, where there is a topic for them.

    SIGINT and SIGTERM end it early: what was fetched is written, and the result says what remains. Raises
    MatomoFnError where there is nothing to report on: bad input, no answer from Matomo, no warehouse, or something
    unforeseen.
    """
    structlog.contextvars.bind_contextvars(run_id=run.id)
    if request.part:
        run = replace(run, request_id=request.part.request_id)
        structlog.contextvars.bind_contextvars(request_id=run.request_id, shard=request.part.number)
    deadline = Deadline(settings.time_budget)
    with ends_by_signal(deadline):
        try:
            _refuse_stopped(deadline)
            with open_session(settings, request, run, deadline, create=True, handing=handing) as session:
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
    with open_session(settings, request, new_run(), Deadline(settings.time_budget), create=False) as session:
        plan = plan_sync(session, request)
        reference = reference_scope(session.connector, request, plan.scope.visible, plan.scope.sites)
        return PlanResult(request.connector, session.warehouse.dataset, request.mode, plan, reference)
