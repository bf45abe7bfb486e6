"""The function's entry points, for the Functions Framework: ``sync`` over HTTP and ``sync_event`` from Pub/Sub."""

import json

import flask
import functions_framework
from cloudevents.http import CloudEvent

from matomo_fn.app.handlers import TryAgainError, handle_event, handle_http


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Sync what the request's JSON body asks for and answer with a summary."""
    status, answer = handle_http(request.method, dict(request.headers), request.get_data())
    return flask.Response(json.dumps(answer, ensure_ascii=False), status, mimetype="application/json")


@functions_framework.cloud_event
def sync_event(event: CloudEvent) -> None:
    """Sync what a Pub/Sub message asks for; answer 503 where it should be delivered again."""
    try:
        handle_event(str(event["id"]), event.data)
    except TryAgainError as error:
        flask.abort(503, str(error))  # an exception would do as well, but leaves a traceback in the logs
