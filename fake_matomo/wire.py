"""HTTP: what comes over the wire, what goes over it, and the server in between."""

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
    """What came over the wire."""

    http_method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, str]
    headers: Message
    target: str

    @property
    def params(self) -> dict[str, str]:
        """All parameters; those of the URL win, as with Matomo."""
        return {**self.body, **self.query}

    @property
    def api_in_url(self) -> bool:
        """Whether the URL alone shows an API call: only then early errors are JSON."""
        return self.query.get("module") == "API" and bool(self.query.get("method"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes over the wire."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


def json_answer(status: int, value: object) -> Answer:
    """JSON as PHP's json_encode writes it: slashes escaped, no blanks, ASCII only."""
    text = json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    return Answer(status, JSON, text.encode())


def html_answer(status: int, text: str) -> Answer:
    """A page."""
    return Answer(status, HTML, text.encode(), {"Cache-Control": "private, no-cache, no-store"})


def xml_error(status: int, message: str) -> Answer:
    """An error as `format=xml` has it."""
    text = f'<?xml version="1.0" encoding="utf-8" ?>\n<result>\n\t<error message="{message}" />\n</result>'
    return Answer(status, "text/xml; charset=utf-8", text.encode())


# PHP's max_input_vars: what comes after is dropped without a word, the token too where it stands last.
MAX_INPUT_VARS = 1000

# As socketserver has them.
_Connection = socket.socket | tuple[bytes, socket.socket]
_Address = Any

# Answers a request; None is to hang up.
Serve = Callable[[Request], Answer | None]


class HttpServer(ThreadingHTTPServer):
    """Keeps its connections in sight, so that it can hang up on all of them."""

    # Their threads are waited for: no thread and no socket outlives the server.
    daemon_threads = False
    # Many clients may knock at the same moment.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], serve: Serve, *, compress: bool) -> None:
        self.serve, self.compress = serve, compress
        self._open: set[_Connection] = set()
        self._open_lock = RLock()
        super().__init__(address, _Handler)

    def process_request(self, request: _Connection, client_address: _Address) -> None:
        """Remembers the connection."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Connection) -> None:
        """Forgets it."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Ends every connection."""
        with self._open_lock:
            connections = [one for one in self._open if isinstance(one, socket.socket)]
        for connection in connections:
            # It may have ended by itself in this very moment.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: _Connection, client_address: _Address) -> None:
        """A client that hangs up is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, writes the answer."""

    protocol_version = "HTTP/1.1"
    server_version = "nginx/1.22.1"
    sys_version = ""
    # Head and body go out apart; on a kept connection the second would wait 40 ms for the first's acknowledgement.
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
        """Says nothing: `FakeMatomo.calls` knows it all."""

    def _serve(self) -> None:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        body = _form(raw, self.headers) if self.command == "POST" else {}
        query = _fields(split.query)
        request = Request(self.command, split.path, query, body, self.headers, self.path)
        answer = self.server.serve(request)
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
        """Hangs up the hard way: the client sees "connection reset"."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _fields(text: str) -> dict[str, str]:
    """The fields of a query string or form as PHP reads them: `urls[]` is counted, and there is a limit."""
    fields: dict[str, str] = {}
    for number, (name, value) in enumerate(parse_qsl(text, keep_blank_values=True)[:MAX_INPUT_VARS]):
        fields[name.replace("[]", f"[{number}]")] = value
    return fields


def _form(raw: bytes, headers: Message) -> dict[str, str]:
    """The fields of a form; a body of another type is not read, as Matomo does not."""
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
