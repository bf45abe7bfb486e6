"""A proxy in front of the emulator (or any HTTP server) that records what passes and alters answers.

The emulator answers a job id used twice with a 500 where BigQuery documents a 409, and it never fails by
itself. With the proxy between, a test sees the real client meet both::

    with proxied(emulator.address) as proxy:
        proxy.alter(already_exists, when=is_job)
        proxy.alter(drop, when=is_upload, times=1)
        client = emulator.client(proxy.url)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.ports import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UPSTREAM_SECONDS = 60.0
# Of one connection, not of the message (RFC 9110, 7.6.1), or set anew by the proxy.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent: the path with its query, and how many bytes the body has."""

    method: str
    path: str
    size: int
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


@dataclass(slots=True)
class Rule:
    """One alteration: of which requests, how often, and whether they reach the server."""

    change: Callable[[Answer], Answer | None]
    when: Callable[[Request], bool]
    times: int | None
    passed_on: bool
    used: int = 0


class Proxy:
    """The controls of a running proxy, and the record of what passed."""

    def __init__(self, upstream: str) -> None:
        """Stand in front of ``host:port``."""
        self.upstream = upstream
        self.address = ""
        self.requests: list[Request] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where the client should go."""
        return f"http://{self.address}"

    def alter(
        self,
        change: Callable[[Answer], Answer | None],
        *,
        when: Callable[[Request], bool] = lambda _: True,
        times: int | None = None,
        passed_on: bool = True,
    ) -> Rule:
        """Alter the answers to some requests.

        Args:
            change: makes the new answer from the server's; None drops the connection.
            when: which requests.
            times: how often at most; None is always. A use counts only where the answer came out different.
            passed_on: False keeps the request from the server: it did nothing, as with a 503 of a balancer.

        Returns:
            The rule; ``used`` counts.
        """
        rule = Rule(change, when, times, passed_on)
        with self._lock:
            self._rules.append(rule)
        return rule

    def keep_staging(self) -> None:
        """Answer that a staging table is dropped, and leave it there.

        With each table that is dropped the emulator builds its catalog anew, with all functions and the tables that are
        left: a second of computing. ``staging_left`` says what was not dropped. That it is gone then, the tests of the
        warehouses show.
        """
        self.alter(deleted, when=is_drop_of_staging, passed_on=False)

    def staging_left(self) -> set[str]:
        """The staging tables that were created and not dropped."""
        with self._lock:
            created = {
                str(json.loads(each.body)["tableReference"]["tableId"])
                for each in self.requests
                if each.method == "POST" and re.search(r"/datasets/[^/]+/tables(\?|$)", each.path)
            }
            dropped = {
                each.path.partition("?")[0].rpartition("/")[2] for each in self.requests if is_drop_of_staging(each)
            }
        return {name for name in created if name.startswith("_staging_")} - dropped

    def clear(self) -> None:
        """Forget the rules and the record."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()

    def count(self, method: str, path: str) -> int:
        """How many requests had this method and a path that the regular expression finds."""
        with self._lock:
            return sum(each.method == method and bool(re.search(path, each.path)) for each in self.requests)

    def handle(self, request: Request) -> Answer | None:
        """Record a request, pass it on, alter the answer."""
        with self._lock:
            self.requests.append(request)
            rules = [rule for rule in self._rules if rule.when(request)]
        kept = any(not rule.passed_on and not self._is_spent(rule) for rule in rules)
        answer: Answer | None = Answer(503) if kept else self.pass_on(request)
        for rule in rules:
            if answer is None:
                break
            with self._lock:
                if self._is_spent(rule):
                    continue
                altered = rule.change(answer)
                if altered != answer or not rule.passed_on:
                    rule.used += 1
            answer = altered
        return answer

    @staticmethod
    def _is_spent(rule: Rule) -> bool:
        return rule.times is not None and rule.used >= rule.times

    def pass_on(self, request: Request) -> Answer:
        """Return the server's own answer."""
        connection = http.client.HTTPConnection(self.upstream, timeout=UPSTREAM_SECONDS)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            headers["Host"] = self.upstream
            connection.request(request.method, request.path, body=request.body, headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        kept = [
            (name, self._rewritten(value) if name.lower() == "location" else value)
            for name, value in response.getheaders()
            if name.lower() not in HOP_BY_HOP
        ]
        return Answer(response.status, body, tuple(kept))

    def _rewritten(self, location: str) -> str:
        # The emulator names itself as the place of a resumable upload.
        parts = urlsplit(location)
        return parts._replace(scheme="http", netloc=self.address).geturl() if parts.netloc else location


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def setup(self) -> None:
        """Send at once: headers and body leave in two writes, and Nagle would make each answer 40 ms late."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_any(self) -> None:
        """Answer a request, or leave."""
        proxy = self.server.proxy
        body = self._body()
        request = Request(self.command, self.path, len(body), body, dict(self.headers.items()))
        try:
            answer = proxy.handle(request)
        except OSError as error:
            answer = Answer(502, f"the proxy cannot reach {proxy.upstream}: {error}".encode())
        if answer is None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._send(answer)

    # The base class looks for methods by these names.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class ProxyServer(ThreadingHTTPServer):
    """A server that a client may leave in the middle of an answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, proxy: Proxy) -> None:
        """Listen on a free port."""
        super().__init__((LOCAL, 0), Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: dropped connections are what the tests do."""


@contextlib.contextmanager
def proxied(upstream: str, proxy: Proxy | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of ``host:port`` until the block ends, or one of another kind."""
    proxy = proxy or Proxy(upstream)
    server = ProxyServer(proxy)
    proxy.address = f"{LOCAL}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- which requests ---------------------------------------------------------------------------------------


def is_upload(request: Request) -> bool:
    """A part of an upload: its start (POST) or its content (PUT)."""
    return request.path.startswith("/upload/")


def is_drop_of_staging(request: Request) -> bool:
    """A staging table being dropped."""
    return request.method == "DELETE" and "/tables/_staging_" in request.path


def is_job(request: Request) -> bool:
    """A job being handed in, an upload's start included."""
    return request.method == "POST" and bool(re.search(r"/projects/[^/]+/jobs(\?|$)", request.path))


# --- what to make of the answers --------------------------------------------------------------------------


def failure(status: int, reason: str, message: str) -> Answer:
    """An error as BigQuery's REST API words it."""
    error = {"message": message, "domain": "global", "reason": reason}
    body = {"error": {"code": status, "message": message, "errors": [error], "status": reason.upper()}}
    return Answer(status, json.dumps(body).encode())


def already_exists(answer: Answer) -> Answer:
    """BigQuery's 409 in place of the emulator's 500 or 400 for what is there already."""
    if answer.status in {400, 500} and (found := re.search(rb"(\w+) (\S+) is already created", answer.body)):
        kind, name = (each.decode() for each in found.groups())
        conflict = failure(409, "duplicate", f"Already Exists: {kind.capitalize()} test:{name}")
        return replace(conflict, body=conflict.body.replace(b'"DUPLICATE"', b'"ALREADY_EXISTS"'))
    return answer


def deleted(_answer: Answer) -> Answer:
    """The answer to a deletion that was done."""
    return Answer(204)


def unavailable(_answer: Answer) -> Answer:
    """A 503 in place of the answer."""
    return failure(503, "backendError", "The service is currently unavailable.")


def drop(_answer: Answer) -> None:
    """End the connection without an answer."""


def with_status(**status: Any) -> Callable[[Answer], Answer]:
    """An answer about a job with another status."""

    def altered(answer: Answer) -> Answer:
        return replace(answer, body=json.dumps({**json.loads(answer.body), "status": status}).encode())

    return altered
