"""The request handler: faults, tokens, output formats, and a record of every call."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from threading import Event, RLock

from fake_matomo.api import Api
from fake_matomo.dates import parse_day, parse_range, span_of
from fake_matomo.errors import ApiError, error_page
from fake_matomo.faults import NOTICE, TRACKER, Fault, Faults, FaultyCall, Mutation
from fake_matomo.language import language_of
from fake_matomo.tokens import Tokens, User
from fake_matomo.tracker import PATHS, Tracker, read_batch
from fake_matomo.wire import Answer, Request, html_answer, json_answer, xml_error

_FORMATS = ("console", "csv", "html", "json", "original", "rss", "tsv", "xml")


@dataclass(frozen=True, slots=True)
class Call:
    """A recorded call, on its own or inside a bulk request; without its token."""

    method: str
    params: Mapping[str, str]
    in_bulk: bool
    http: int
    http_method: str
    path: str
    token_in_url: bool
    user_agent: str | None
    accept_language: str | None


class Front:
    """Handles requests. Thread-safe."""

    def __init__(self, api: Api, tokens: Tokens, *, mount: str) -> None:
        self.api, self.tokens, self.mount = api, tokens, mount
        self.tracker = Tracker(api.traffic, tokens, api.archives)
        self._tracker_paths = frozenset(f"{mount}/{name}" for name in PATHS)
        self.faults = Faults()
        self.lock = RLock()
        self.stopping = Event()
        self.calls: list[Call] = []
        self.http_requests = 0

    def serve(self, request: Request) -> Answer | None:
        """Handle a request; None means to close the connection."""
        with self.lock:
            self.http_requests += 1
            number = self.http_requests
        if request.path in self._tracker_paths:
            return self._track(request, number)
        if request.path not in (f"{self.mount}/index.php", f"{self.mount}/"):
            return html_answer(404, "<html>\n<head><title>404 Not Found</title></head>\n<body></body>\n</html>\n")
        params = request.params
        method = params.get("method", "")
        self.note(request, params, number, in_bulk=False)
        fault = self.take(method, params, in_bulk=False)
        if fault is None:
            return self._answer(request, params, number)
        self.stopping.wait(fault.delay)
        if fault.replaces:
            return self._replacement(fault, request)
        return self._damaged(self._answer(request, params, number, fault.mutate), fault)

    def _track(self, request: Request, number: int) -> Answer | None:
        """Answer a call of the tracker; a fault may come before or after the hits are stored."""
        batch = read_batch(request)
        params = {"requests": str(len(batch.hits))} if batch.bulk else dict(*batch.hits)
        self.note(request, {**params, "method": TRACKER}, number, in_bulk=batch.bulk)
        fault = self.faults.take(FaultyCall(TRACKER, batch.sites, None, "", batch.bulk))
        if fault is None:
            return self.tracker.answer(batch, self.tracker.take(batch, request), request.http_method)
        taken = self.tracker.take(batch, request) if fault.taken else None
        self.stopping.wait(fault.delay)
        if fault.replaces:
            if fault.message is not None:
                return self.tracker.unavailable(batch, request.http_method)
            return self._replacement(fault, request)
        taken = taken or self.tracker.take(batch, request)
        return self._damaged(self.tracker.answer(batch, taken, request.http_method), fault)

    def _answer(
        self, request: Request, params: dict[str, str], number: int, mutate: Mutation | None = None
    ) -> Answer | None:
        """Answer a request that no fault replaces; calls inside a bulk request may have faults of their own."""
        if request.http_method not in ("GET", "POST"):
            return html_answer(200, "<!DOCTYPE html>\n<html><head><title>Sign in - Matomo</title></head></html>\n")
        in_url = bool(request.query.get("token_auth"))
        try:
            user = self.tokens.user(params.get("token_auth"), in_url=in_url, now=self.api.traffic.now())
        except ApiError as error:
            return self._early(error, request)
        if params.get("module") != "API":
            return self._not_the_api(user, params)
        wanted = params.get("format", "xml").lower()
        if wanted not in _FORMATS:
            text = f"Error: Renderer format '{wanted}' not valid. Try any of the following instead: "
            return Answer(200, "text/plain; charset=utf-8", (text + ", ".join(_FORMATS) + ".").encode())
        bulk = _Bulk(self, request, number)
        language = language_of(params.get("language"), request.headers.get("Accept-Language"))
        try:
            value = self.api.call(params, user, language, bulk.listen)
        except ApiError as error:
            return _error(error, wanted)
        except _WholeResponse as tampered:
            return self._replacement(tampered.fault, request)
        if wanted != "json":
            return Answer(501, "text/plain; charset=utf-8", b"The fake Matomo answers in JSON only.\n")
        answer: Answer | None = json_answer(200, mutate(value) if mutate else value)
        for fault in bulk.damages:
            answer = self._damaged(answer, fault)
        return answer

    def _early(self, error: ApiError, request: Request) -> Answer:
        """Answer errors that occur before Matomo knows that this is an API call."""
        get = request.http_method == "GET"
        if request.api_in_url or (get and request.query.get("module") == "API"):
            return json_answer(error.status, {"result": "error", "message": error.message})
        return html_answer(error.status, error_page(error.message))

    def _not_the_api(self, user: User, params: Mapping[str, str]) -> Answer:
        if user.superuser:
            text = (
                "This user has super-user access. Embedding widgets with super-user token authentication"
                " is not allowed."
            )
            return html_answer(500, error_page(text))
        site = params.get("idSite", 1)
        place = f"index.php?module=CoreHome&action=index&idSite={site}&period=day&date=yesterday"
        return Answer(302, "text/html; charset=UTF-8", b"", {"Location": place})

    def _replacement(self, fault: Fault, request: Request) -> Answer | None:
        """Return what a fault puts in place of the answer."""
        if fault.reset:
            return None
        status = fault.status if fault.status is not None else 200
        if fault.message is not None:
            answer = self._early(ApiError(fault.message, status), request)
        else:
            answer = Answer(status, fault.content_type, (fault.body or "").encode())
        if fault.to_https:
            place = f"https://{request.headers.get('Host', 'localhost')}{request.target}"
            answer = replace(answer, headers={"Location": place})
        return self._damaged(answer, fault)

    def _damaged(self, answer: Answer | None, fault: Fault) -> Answer | None:
        """Return the answer with a fault applied to its bytes and headers."""
        if answer is None:
            return None
        body = NOTICE.encode() + answer.body if fault.notice else answer.body
        return replace(answer, body=body, cut=fault.cut, headers={**answer.headers, **fault.headers})

    def take(self, method: str, params: Mapping[str, str], *, in_bulk: bool) -> Fault | None:
        """Return the fault that applies to a call."""
        ids = frozenset(int(part) for part in params.get("idSite", "").split(",") if part.isdigit())
        return self.faults.take(FaultyCall(method, ids, self._days(params), params.get("segment", ""), in_bulk))

    def _days(self, params: Mapping[str, str]) -> tuple[date, date] | None:
        today = self.api.traffic.now().date()
        period, text = params.get("period", "day"), params.get("date", "")
        try:
            bounds = parse_range(text, today=today, today_utc=today, period=period)
            if bounds is not None:
                return bounds
            span = span_of(period, parse_day(text, today))
        except ApiError:
            return None
        return span.start, span.end

    def note(self, request: Request, params: dict[str, str], number: int, *, in_bulk: bool) -> None:
        """Record a call."""
        call = Call(
            method=params.get("method", ""),
            params={name: value for name, value in params.items() if name != "token_auth"},
            in_bulk=in_bulk,
            http=number,
            http_method=request.http_method,
            path=request.path,
            token_in_url="token_auth" in request.query,
            user_agent=request.headers.get("User-Agent"),
            accept_language=request.headers.get("Accept-Language"),
        )
        with self.lock:
            self.calls.append(call)


class _WholeResponse(Exception):
    """A fault of a call inside a bulk request replaces the whole response."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class _Bulk:
    """Records the calls inside a bulk request and applies faults to them."""

    def __init__(self, front: Front, request: Request, number: int) -> None:
        self.front, self.request, self.number = front, request, number
        # Faults applied to the whole response to the bulk request.
        self.damages: list[Fault] = []

    def listen(self, params: Mapping[str, str]) -> Mutation | None:
        """Record the call; return the change that a fault makes to its entry."""
        self.front.note(self.request, dict(params), self.number, in_bulk=True)
        fault = self.front.take(params.get("method", ""), params, in_bulk=True)
        if fault is None:
            return None
        self.front.stopping.wait(fault.delay)
        if fault.whole and fault.replaces:
            raise _WholeResponse(fault)
        if fault.whole:
            self.damages.append(fault)
        return fault.entry


def _error(error: ApiError, wanted: str) -> Answer:
    """Return the error of a call on its own: HTML-escaped, unlike inside a bulk request."""
    if wanted != "json":
        return xml_error(error.status, error.message)
    message = error.message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return json_answer(error.status, {"result": "error", "message": message})
