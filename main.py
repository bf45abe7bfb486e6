"""The function's entry points, for the Functions Framework.

``sync`` over HTTP, with a page about what was synced, ``sync_event`` from Pub/Sub, and ``collect`` for Segment's calls
over HTTP.

Each imports what it does when it is first called: an instance serves one of them, and none needs what the others do.
"""

import json

import flask
import functions_framework
from cloudevents.http import CloudEvent

from matomo_fn.app.paths import COLLECT
from matomo_fn.app.signals import watch_forked_workers
from matomo_fn.values import utf8

watch_forked_workers()


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Sync what the request's JSON body asks for and answer with a summary; below /collect/ collect events.

    GET / answers with the page of a connector.
    """
    if request.path.startswith(COLLECT):
        return _collect(request)
    if request.method in ("GET", "HEAD"):
        return _page(request)
    from matomo_fn.app.handlers import handle_http

    status, answer = handle_http(request.method, dict(request.headers), request.get_data())
    return flask.Response(utf8(json.dumps(answer, ensure_ascii=False)), status, mimetype="application/json")


@functions_framework.cloud_event
def sync_event(event: CloudEvent) -> None:
    """Sync what a Pub/Sub message asks for; answer 503 where it should be delivered again."""
    from matomo_fn.app.handlers import TryAgainError, handle_event

    try:
        handle_event(str(event["id"]), event.data, deliveries_are_counted=_are_deliveries_counted())
    except TryAgainError as error:
        flask.abort(503, utf8(str(error)).decode())  # an exception would do as well, but leaves a traceback in the logs


@functions_framework.http
def collect(request: flask.Request) -> flask.Response:
    """Verify, validate and publish the calls that Segment sends to a path that ends with the connector's name."""
    return _collect(request)


def _page(request: flask.Request) -> flask.Response:
    from matomo_fn.app.report.serve import handle_get

    answer = handle_get(request.path, request.args, dict(request.headers))
    return flask.Response(utf8(answer.text), answer.status, answer.headers, content_type=answer.media_type)


def _collect(request: flask.Request) -> flask.Response:
    from matomo_fn.app.collect import CollectRequest, handle_collect

    wanted = CollectRequest(request.method, request.path, dict(request.headers), request.stream.read)
    status, answer = handle_collect(wanted)
    text = b"" if answer is None else utf8(json.dumps(answer, ensure_ascii=False))
    # In parts, since the framework reads all of a request's body, of whatever size, before it sends a whole answer.
    response = flask.Response(iter([text]), status, {"Allow": "POST"}, mimetype="application/json")
    response.content_length = len(text)
    return response


def _are_deliveries_counted() -> bool:
    """Return whether the subscription has a dead letter policy: only then Pub/Sub sends how often it has delivered."""
    body = flask.request.get_json(silent=True)
    return isinstance(body, dict) and "deliveryAttempt" in body
