"""From settings and a request to a delivery: opens the parts, delivers, and logs how it ended."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import structlog

from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.refused_tokens import RefusedTokens
from matomo_fn.app.signals import ends_by_signal
from matomo_fn.app.wiring import Credentials, make_client, make_transport, read_credentials
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.config.request import SeveralRequests
from matomo_fn.config.secret_store import SecretStore, open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoFnError, Stopped, TokenRefused, UnforeseenError
from matomo_fn.events.deliver import Progress, Session, Uncertain, deliver, no_progress
from matomo_fn.events.queue import Queue
from matomo_fn.events.result import DeliveryResult
from matomo_fn.events.sources import IteratorQueue, read_lines, read_rows
from matomo_fn.matomo.interruptible import InterruptibleTracking
from matomo_fn.matomo.rate_limit import RateLimit, Share
from matomo_fn.matomo.retries import ATTEMPTS
from matomo_fn.matomo.tracking import Tracker
from matomo_fn.sync.outcome import Run
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse.protocol import Warehouse

log = structlog.get_logger()

# Gives the queue of a delivery: Pub/Sub's, or one of a file or a query.
OpenQueue = Callable[[Settings, Credentials, Warehouse, Deadline], Queue]
STANDARD_INPUT = "-"
_REFUSED = RefusedTokens()
# Addresses at which Matomo failed the last delivery by this instance. Pub/Sub counts how often a message was
# pulled, and makes it a dead letter in the end: so nothing is pulled before Matomo answers again.
_FAILED: set[str] = set()
_QUERY = re.compile(r"[\s(]*(select|with)\b", re.IGNORECASE)


def open_pubsub(settings: Settings, credentials: Credentials, _warehouse: Warehouse, deadline: Deadline) -> Queue:
    """Return the subscription of the connector's events."""
    from matomo_fn.events.pubsub import PubSubQueue  # here, since a delivery from a file has no need of Google's client

    return PubSubQueue(settings, credentials.connector.name, deadline)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a delivery has its calls from.

    ``waits``: it ends when all is settled; ``uncertain``: what is done with what may be in Matomo already.
    """

    open_queue: OpenQueue = open_pubsub
    waits: bool = False
    uncertain: Uncertain = "ask"


PUBSUB = Source()


@contextmanager
def open_file(path: str) -> Iterator[OpenQueue]:
    """Open a file of calls, one a line; ``-`` is standard input."""
    with ExitStack() as stack:
        if path == STANDARD_INPUT:
            lines, name = sys.stdin.buffer, "standard input"
        else:
            try:
                lines, name = stack.enter_context(open(path, "rb")), path  # noqa: PTH123 - the type that stdin has
            except OSError as error:
                raise InputError(f"the file {path} cannot be read: {error.strerror}") from None
        queue = IteratorQueue(read_lines(lines, name))
        yield lambda _settings, _credentials, _warehouse, _deadline: queue


def query_rows(statement: str) -> OpenQueue:
    """Return what makes a query, run in the connector's warehouse, the queue of a delivery."""
    if not _QUERY.match(statement):
        raise InputError("--query: begin it with select (or with): it may only read")

    def open_query(_settings: Settings, credentials: Credentials, warehouse: Warehouse, _deadline: Deadline) -> Queue:
        return IteratorQueue(read_rows(warehouse.stream(statement), _events_of(credentials).columns))

    return open_query


def run_delivery(
    settings: Settings,
    name: str,
    run: Run,
    source: Source = PUBSUB,
    progress: Progress = no_progress,
) -> DeliveryResult:
    """Deliver the events of a connector, log how that ended in one line, and return the result.

    SIGINT and SIGTERM end it early: what was not sent is given back. Raises MatomoFnError where there is nothing to
    report on.
    """
    structlog.contextvars.bind_contextvars(run_id=run.id)
    deadline = Deadline(settings.time_budget)
    with ends_by_signal(deadline):
        try:
            result = _deliver(settings, name, run, deadline, source, progress)
        except MatomoFnError as error:
            log.error("deliver_finished", connector=name, status=str(Verdict.FAILED), errors=list(error.sentences))
            raise
        except Exception as error:  # noqa: BLE001 - a delivery ends in order, whatever happened
            unforeseen = UnforeseenError(note_unforeseen(error))
            log.error("deliver_finished", connector=name, status=str(Verdict.FAILED), errors=[str(unforeseen)])
            raise unforeseen from None
        result = replace(result, stopped_by=deadline.interrupted_by)
        tell = {Verdict.COMPLETE: log.info, Verdict.FAILED: log.error}.get(result.verdict, log.warning)
        tell("deliver_finished", **{key: value for key, value in result.as_dict().items() if key != "run_id"})
    return result


def _deliver(
    settings: Settings, name: str, run: Run, deadline: Deadline, source: Source, progress: Progress
) -> DeliveryResult:
    if deadline.is_stopped:
        raise Stopped(f"stopped by {deadline.interrupted_by} before anything was sent")
    credentials = read_credentials(settings, name)
    config = _events_of(credentials)
    if credentials.token in _REFUSED:
        raise TokenRefused(
            "Matomo refused the token less than 15 minutes ago, and is not sent it again before that. Put a valid one "
            "into the token secret"
        )
    warehouse = open_warehouse(settings, credentials.connector, run_id=run.id, deadline=deadline)
    try:
        rate_limit = RateLimit.whole(Share.of(credentials.connector), sleep=deadline.pause)
        session = Session(
            credentials.connector,
            config,
            source.open_queue(settings, credentials, warehouse, deadline),
            make_tracker(credentials, deadline, rate_limit),
            make_client(credentials, deadline, rate_limit=rate_limit),
            warehouse,
            deadline,
            run.id,
            source.waits,
            source.uncertain,
            asks_first=credentials.connector.matomo_url in _FAILED,
        )
        result = deliver(session, progress)
        (_FAILED.add if result.matomo_failed else _FAILED.discard)(credentials.connector.matomo_url)
        if result.token_refused:
            _REFUSED.add(credentials.token)
        return result
    finally:
        warehouse.close()


def without_skipped(settings: Settings, requests: SeveralRequests) -> SeveralRequests:
    """Return a delivery to "all" without the connectors that have no events; any other request as it is.

    A connector whose configuration cannot be read stays: its own request reports that. Raises InputError where none is
    left.
    """
    if not requests.is_every or requests.each[0].mode != "deliver":
        return requests
    secrets = open_secret_store(settings)
    each = tuple(request for request in requests.each if _may_deliver(secrets, request.connector))
    if not each:
        raise InputError('no connector delivers events: add "events" to a configuration')
    skipped = tuple(request.connector for request in requests.each if request not in each)
    return replace(requests, each=each, skipped=skipped)


def _may_deliver(secrets: SecretStore, name: str) -> bool:
    try:
        return find_connector(secrets, name).events is not None
    except MatomoFnError:
        return True


def make_tracker(credentials: Credentials, deadline: Deadline, rate_limit: RateLimit) -> Tracker:
    """Return the tracking API of the connector's Matomo, within the bounds that the connector sets."""
    tracking = InterruptibleTracking(make_transport(credentials, deadline), deadline)
    timeout = credentials.connector.timeout_seconds
    return Tracker(tracking, rate_limit, deadline, timeout=timeout, attempts=ATTEMPTS)


def _events_of(credentials: Credentials) -> EventsConfig:
    connector = credentials.connector
    if connector.events is None:
        raise InputError(
            f'connector {connector.name!r} delivers no events: add "events" to its configuration, such as '
            '{"events": {"site": "1"}}'
        )
    return connector.events
