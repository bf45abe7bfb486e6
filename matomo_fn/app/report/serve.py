"""The page over HTTP, for those who may invoke the function: which they are is IAM's business."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog

from matomo_fn.app.begin import begin_request
from matomo_fn.app.read_log import NeverSynced, open_log
from matomo_fn.app.report.facts import read_facts
from matomo_fn.app.report.page import policy_of, render
from matomo_fn.app.status import status_of
from matomo_fn.config.connectors import every_connector
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.errors import (
    InputError,
    MatomoFnError,
    SecretsUnavailable,
    UnforeseenError,
    UnknownConnector,
    WarehouseUnavailable,
)
from matomo_fn.redaction import redact, redact_value
from matomo_fn.unforeseen import note_unforeseen

log = structlog.get_logger()

_HTML = "text/html; charset=utf-8"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a GET."""

    status: int
    text: str
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def handle_get(path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """Return the page of the connector that ``?connector=`` names, or its status as JSON where that is accepted.

    Without a name: of the only connector, or a list of all. 200 with one of them; 400 for a name or configuration that
    has to be fixed; 404 for another path, an unknown connector and one that never was synced; 500 or 503 where
    warehouse or secrets failed.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    accepted = headers.get("accept", "")
    try:
        return _answer(path, query, headers, is_json=_prefers_json(accepted))
    except MatomoFnError as error:
        status = _status_of(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("report_failed", status=int(status), errors=list(error.sentences))
        else:
            log.warning("report_failed", status=int(status), errors=list(error.sentences))
        return _failure(error, status, is_html="text/html" in accepted)
    except Exception as error:  # noqa: BLE001 - the caller gets a sentence, whatever happened
        unforeseen = UnforeseenError(note_unforeseen(error))
        return _failure(unforeseen, HTTPStatus.INTERNAL_SERVER_ERROR, is_html="text/html" in accepted)


def _answer(path: str, query: Mapping[str, str], headers: Mapping[str, str], *, is_json: bool) -> Answer:
    settings = begin_request(headers)
    if path != "/":
        raise _NoSuchPath(f"there is no {path} here: GET / is the page of a connector, POST / starts a sync")
    name = query.get("connector")
    names = [name] if name else every_connector(open_secret_store(settings), settings.connectors)
    if len(names) > 1:
        return _list(names, is_json=is_json)
    return _status(settings, names[0]) if is_json else _page(settings, names[0])


class _NoSuchPath(InputError):
    """Nothing is served at the path."""


def _prefers_json(accept: str) -> bool:
    """Return whether JSON stands before HTML in what a caller accepts, or alone: browsers name HTML first."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if _JSON not in kinds:
        return False
    return "text/html" not in kinds or kinds.index(_JSON) < kinds.index("text/html")


def _page(settings: Settings, name: str) -> Answer:
    page = render(read_facts(settings, name))
    return Answer(HTTPStatus.OK, page, _HTML, _PRIVATE | {"Content-Security-Policy": policy_of(page)})


def _status(settings: Settings, name: str) -> Answer:
    with open_log(settings, name) as (connector, warehouse):
        found = status_of(settings, connector, warehouse)
    return _json(HTTPStatus.OK, redact_value(found.as_dict()))


def _list(names: Sequence[str], *, is_json: bool) -> Answer:
    if is_json:
        return _json(HTTPStatus.OK, {"connectors": list(names)})
    # Names of connectors are made of letters, digits and hyphens (config.request).
    items = "".join(
        f'<li><a href="?connector={html.escape(name)}">{html.escape(name)}</a></li>' for name in sorted(names)
    )
    return Answer(HTTPStatus.OK, _plain_page("Connectors", f"<ul>{items}</ul>"), _HTML, _PRIVATE | _NO_SOURCES)


def _failure(error: MatomoFnError, status: HTTPStatus, *, is_html: bool) -> Answer:
    sentences = [redact(sentence) for sentence in error.sentences]
    if not is_html:
        return _json(status, {"status": "failed", "errors": sentences})
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return Answer(status, _plain_page("There is no page", f"<ul>{items}</ul>"), _HTML, _PRIVATE | _NO_SOURCES)


def _status_of(error: MatomoFnError) -> HTTPStatus:
    if isinstance(error, NeverSynced | UnknownConnector | _NoSuchPath):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, InputError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, WarehouseUnavailable | SecretsUnavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _json(status: int, value: object) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False), _JSON, _PRIVATE)


def _plain_page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}: matomo-fn</title></head>'
        f"<body><main><h1>{title}</h1>{content}</main></body></html>"
    )


_PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}
_NO_SOURCES = {"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'"}
