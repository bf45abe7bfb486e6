"""What the function's two entry points do: a request in, a status and a result or sentences out."""

import base64
import binascii
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog

from matomo_fn.app.audit import run_audit
from matomo_fn.app.begin import begin_request
from matomo_fn.app.fan_out import Handing
from matomo_fn.app.several import combined, for_each
from matomo_fn.app.wiring import make_plan, new_run, run_sync
from matomo_fn.config.connectors import every_connector
from matomo_fn.config.request import SeveralRequests, SyncRequest, read_requests
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.config.validation import read_object
from matomo_fn.errors import (
    BudgetTaken,
    InputError,
    MatomoError,
    MatomoFnError,
    QueueUnavailable,
    SecretsUnavailable,
    Stopped,
    TokenRefused,
    UnforeseenError,
    WarehouseUnavailable,
)
from matomo_fn.redaction import redact, redact_value
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.result import RunResult
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.verdict import Verdict

if TYPE_CHECKING:
    from matomo_fn.events.result import DeliveryResult

log = structlog.get_logger()

_EXAMPLE = '{"connector": "shop"}'


class TryAgainError(Exception):
    """Raised to Pub/Sub's face so that it delivers the message once more; the platform logs its text."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


def handle_http(method: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON answer of an HTTP request.

    200 with a summary, also of an audit or a reconciliation that found differences; 202 where messages take the rest,
    or all; 400 with every problem of request, configuration, settings or secrets; 405 where it is no POST; 502 where
    Matomo failed, 500 or 503 where the warehouse did, with what was done nevertheless; 503 where the run was stopped by
    a signal; 500 for what nobody foresaw. A failure is logged once: by ``run_finished`` where a run has begun.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    run = new_run(_schedule(headers))
    try:
        return _handle_http(method, headers, body, run)
    except Exception as error:  # noqa: BLE001 - the caller gets a sentence, whatever happened
        return HTTPStatus.INTERNAL_SERVER_ERROR, _failure(UnforeseenError(note_unforeseen(error)), run)


def _handle_http(method: str, headers: Mapping[str, str], body: bytes, run: Run) -> tuple[int, dict[str, Any]]:
    try:
        settings = begin_request(headers)
        if method != "POST":
            error = InputError(f"POST a JSON object such as {_EXAMPLE}, not {method}")
            return HTTPStatus.METHOD_NOT_ALLOWED, _failure(error, run)
        request = _read(settings, body, "request body")
    except (InputError, SecretsUnavailable) as error:
        log.error("request_refused", run_id=run.id, problems=list(error.sentences))
        return _status_of(error), _failure(error, run)
    if isinstance(request, SyncRequest):
        return _answer(settings, request, run)
    return _several_answers(settings, request, run)


def _answer(settings: Settings, request: SyncRequest, run: Run) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON answer of a request to one connector."""
    try:
        return _perform(settings, request, run)
    except MatomoFnError as error:
        return _failed_answer(error, request, run)


def _several_answers(settings: Settings, requests: SeveralRequests, run: Run) -> tuple[int, dict[str, Any]]:
    """Return the answers of all connectors by name, with the gravest status of all."""
    runs = {request: new_run(run.request_id if run.request_id != run.id else "") for request in requests.each}
    answers: dict[str, dict[str, Any]] = {}
    statuses: list[int] = []
    for request, outcome in for_each(
        settings,
        requests,
        lambda share, request: _perform(share, request, runs[request]),
        lambda answer: bool(answer[1]["status"] == Verdict.STOPPED),
    ):
        if isinstance(outcome, MatomoFnError):
            outcome = _failed_answer(outcome, request, runs[request])
        status, answers[request.connector] = outcome
        statuses.append(status)
    return max(statuses), combined(answers) | ({"skipped": list(requests.skipped)} if requests.skipped else {})


def _perform(settings: Settings, request: SyncRequest, run: Run) -> tuple[int, dict[str, Any]]:
    """Do what a request to one connector wants; raise MatomoFnError where nothing came of it."""
    if request.mode == "audit":
        return HTTPStatus.OK, redact_value(run_audit(settings, request).as_dict())
    if request.mode == "reconcile":
        return HTTPStatus.OK, redact_value(_reconcile(settings, request))
    if request.mode == "deliver":
        delivered = _deliver(settings, request.connector, run)
        return delivered.http_status, redact_value(delivered.as_dict())
    if request.dry_run:
        return HTTPStatus.OK, redact_value(make_plan(settings, request).as_dict())
    result = run_sync(settings, request, run, handing=Handing.WHAT_IS_TOO_MUCH)
    return result.http_status, redact_value(result.as_dict())


def _failed_answer(error: MatomoFnError, request: SyncRequest, run: Run) -> tuple[int, dict[str, Any]]:
    if not _is_run(request):
        log.error("request_failed", connector=request.connector, run_id=run.id, errors=list(error.sentences))
    return _status_of(error), _failure(error, run, request)


def handle_event(message_id: str, data: object, *, deliveries_are_counted: bool = False) -> None:
    """Do what a Pub/Sub message requests.

    A message that can never succeed is logged as an error and taken as done. Raises TryAgainError where a later
    delivery may succeed; it goes on where this one stopped, since it has the same id. Every line logged has that id.
    ``deliveries_are_counted``: the subscription ends by itself what fails again and again. Where it does not, a message
    that fails by something unforeseen is taken as done, since it would be delivered for days.
    """
    try:
        _handle_event(message_id, data, deliveries_are_counted=deliveries_are_counted)
    except (TryAgainError, MatomoFnError):
        raise
    except Exception as error:  # noqa: BLE001 - the message is dealt with, whatever happened
        sentence = note_unforeseen(error, message_id=message_id)
        if deliveries_are_counted:
            raise TryAgainError(sentence) from None
        log.error("message_refused", problems=[sentence])


def _handle_event(message_id: str, data: object, *, deliveries_are_counted: bool) -> None:
    try:
        settings = begin_request({}, message_id=message_id)
        request = _read(settings, _message_data(data), "message")
    except InputError as error:
        log.error("message_refused", problems=list(error.sentences))
        return
    except SecretsUnavailable as error:
        raise TryAgainError(str(error)) from None

    def do(share: Settings, wanted: SyncRequest) -> "RunResult | DeliveryResult | None":
        return _do(share, wanted, message_id)

    requests = SeveralRequests((request,)) if isinstance(request, SyncRequest) else request
    again: list[str] = []
    for wanted, outcome in for_each(settings, requests, do, lambda result: bool(result and result.is_stopped)):
        prefix = "" if isinstance(request, SyncRequest) else f"{wanted.connector}: "
        if isinstance(outcome, MatomoFnError):
            is_final = (
                isinstance(outcome, InputError | TokenRefused)
                or (isinstance(outcome, UnforeseenError) and not deliveries_are_counted)
                or wanted.mode == "deliver"  # the next one comes by itself, in a minute
            )
            if not _is_run(wanted):
                errors = list(outcome.sentences)
                log.error("message_failed", connector=wanted.connector, is_final=is_final, errors=errors)
            if not is_final:
                again.append(f"{prefix}{outcome}")
        elif isinstance(outcome, RunResult) and outcome.may_succeed_later:
            errors = outcome.as_dict()["errors"]
            again.append(f"{prefix}the run is {outcome.verdict}: {'; '.join(errors) or 'slices remain'}")
    if again:
        raise TryAgainError("; ".join(again))


def _do(settings: Settings, request: SyncRequest, message_id: str) -> "RunResult | DeliveryResult | None":
    """Do what a message wants of one connector; return the result where that is a run or a delivery."""
    if request.mode == "audit":
        run_audit(settings, request)
        return None
    if request.mode == "reconcile":
        _reconcile(settings, request)
        return None
    if request.mode == "deliver":
        return _deliver(settings, request.connector, new_run(f"message {message_id}"))
    if request.dry_run:
        log.info("plan", **make_plan(settings, request).as_dict())
        return None
    return run_sync(settings, request, new_run(f"message {message_id}"), handing=Handing.WHAT_IS_TOO_MUCH)


def _is_run(request: SyncRequest) -> bool:
    """Return whether a request makes a run or a delivery, which log their own end."""
    return not request.dry_run and request.mode not in ("audit", "reconcile")


def _read(settings: Settings, body: bytes, what: str) -> SyncRequest | SeveralRequests:
    if not body.strip():
        raise InputError(f"{what} is empty: it has to be a JSON object such as {_EXAMPLE}")
    requests = read_requests(
        read_object(body, what), lambda: every_connector(open_secret_store(settings), settings.connectors)
    )
    if isinstance(requests, SeveralRequests) and requests.each[0].mode == "deliver":
        from matomo_fn.app.deliveries import without_skipped  # here, since a sync has no need of deliveries

        return without_skipped(settings, requests)
    return requests


def _message_data(data: object) -> bytes:
    """Return the bytes of a Pub/Sub message out of the CloudEvent's data."""
    if isinstance(data, str | bytes):
        try:
            data = json.loads(data)
        except ValueError:
            data = None
    message = data.get("message") if isinstance(data, Mapping) else None
    if not isinstance(message, Mapping):
        raise InputError("the event is not a Pub/Sub message")
    try:
        return base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InputError("the message's data is not base64") from None


def _reconcile(settings: Settings, request: SyncRequest) -> dict[str, Any]:
    from matomo_fn.app.reconcile import run_reconcile  # here, since a sync has no need of it

    return run_reconcile(settings, request).as_dict()


def _deliver(settings: Settings, connector: str, run: Run) -> "DeliveryResult":
    # Imported here: a sync has no need of events.
    from matomo_fn.app.deliveries import run_delivery

    return run_delivery(settings, connector, run)


def _schedule(headers: Mapping[str, str]) -> str:
    """Return what stays the same when Cloud Scheduler repeats an attempt, or '' for other callers."""
    job, time = headers.get("x-cloudscheduler-jobname", ""), headers.get("x-cloudscheduler-scheduletime", "")
    return f"schedule {job} {time}" if job and time else ""


def _status_of(error: MatomoFnError) -> HTTPStatus:
    if isinstance(error, InputError | TokenRefused):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, WarehouseUnavailable | SecretsUnavailable | QueueUnavailable | BudgetTaken | Stopped):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, MatomoError):
        return HTTPStatus.BAD_GATEWAY
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _failure(error: MatomoFnError, run: Run, request: SyncRequest | None = None) -> dict[str, Any]:
    """Return the answer to a request that came to nothing; without a request none could be read."""
    return {
        "status": "failed",
        "connector": request.connector if request else None,
        "run_id": run.id,
        "errors": [redact(sentence) for sentence in error.sentences],
    }
