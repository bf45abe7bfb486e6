"""The HTTP server, its requests and its responses."""

import gzip
import json
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fake_matomo.faults import HTML, JSON


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    http_method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, str]
    headers: Message
    target: str
    raw: bytes = b""
    client: str = "127.0.0.1"

    @property
    def params(self) -> dict[str, str]:
        """All parameters; those of the URL take precedence, as in Matomo."""
        return {**self.body, **self.query}

    @property
    def api_in_url(self) -> bool:
        """Whether the URL alone identifies an API call: only then are early errors JSON."""
        return self.query.get("module") == "API" and bool(self.query.get("method"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


def json_answer(status: int, value: object) -> Answer:
    """Return JSON as PHP's json_encode formats it: slashes escaped, no spaces, ASCII only."""
    text = json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    return Answer(status, JSON, text.encode())


def html_answer(status: int, text: str) -> Answer:
    """Return an HTML page."""
    return Answer(status, HTML, text.encode(), {"Cache-Control": "private, no-cache, no-store"})


def xml_error(status: int, message: str) -> Answer:
    """Return an error in `format=xml`."""
    text = f'<?xml version="1.0" encoding="utf-8" ?>\n<result>\n\t<error message="{message}" />\n</result>'
    return Answer(status, "text/xml; charset=utf-8", text.encode())


# The status of an answer that has no body, and says so by its status alone.
NO_CONTENT = 204
# PHP's max_input_vars: fields past it are silently dropped, including the token if it comes last.
MAX_INPUT_VARS = 1000

# As socketserver has them.
_Connection = socket.socket | tuple[bytes, socket.socket]
_Address = Any

# Answers a request; None means to reset the connection.
Serve = Callable[[Request], Answer | None]


class HttpServer(ThreadingHTTPServer):
    """A threaded server that can close all of its connections."""

    # Wait for the threads: no thread and no socket outlives the server.
    daemon_threads = False
    # Many clients may connect at the same time.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], serve: Serve, *, compress: bool) -> None:
        self.serve, self.compress = serve, compress
        self._open: set[_Connection] = set()
        self._open_lock = RLock()
        super().__init__(address, _Handler)

    def process_request(self, request: _Connection, client_address: _Address) -> None:
        """Register the connection."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Connection) -> None:
        """Deregister the connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close every connection."""
        with self._open_lock:
            connections = [one for one in self._open if isinstance(one, socket.socket)]
        for connection in connections:
            # The client may have closed it meanwhile.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: _Connection, client_address: _Address) -> None:
        """Report errors, except that a client closed its connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes the response."""

    protocol_version = "HTTP/1.1"
    server_version = "nginx/1.22.1"
    sys_version = ""
    # Headers and body are sent separately; with Nagle's algorithm, the body would wait 40 ms for the acknowledgement.
    disable_nagle_algorithm = True
    server: HttpServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing: `FakeMatomo.calls` has every call."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        answer = self.server.serve(read_request(self.command, self.path, self.headers, raw, self.client_address[0]))
        if answer is None:
            self._reset()
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body, headers = answer.body, dict(answer.headers)
        accepts = "gzip" in (self.headers.get("Accept-Encoding") or "")
        if self.server.compress and accepts and len(body) > 1000:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        if answer.status != NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.cut:
            self.close_connection = True
            body = body[: max(0, len(body) - answer.cut)]
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def read_request(http_method: str, target: str, headers: Message, raw: bytes, client: str) -> Request:
    """Return the request that a server has read."""
    split = urlsplit(target)
    body = _form(raw, headers) if http_method == "POST" else {}
    return Request(http_method, split.path, _fields(split.query), body, headers, target, raw, client)


def _fields(text: str) -> dict[str, str]:
    """Parse a query string or form as PHP does: `urls[]` is numbered, and there is a limit."""
    fields: dict[str, str] = {}
    for number, (name, value) in enumerate(parse_qsl(text, keep_blank_values=True)[:MAX_INPUT_VARS]):
        fields[name.replace("[]", f"[{number}]")] = value
    return fields


def _form(raw: bytes, headers: Message) -> dict[str, str]:
    """Parse a form; like Matomo, ignore a body of any other type."""
    kind = headers.get_content_type()
    if kind == "application/x-www-form-urlencoded":
        return _fields(raw.decode("utf-8", "replace"))
    if kind != "multipart/form-data":
        return {}
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + raw)
    fields: dict[str, str] = {}
    for part in message.get_payload() if message.is_multipart() else []:
        if isinstance(part, Message):
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                fields[name] = payload.decode("utf-8", "replace")
    return fields
