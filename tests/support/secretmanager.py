"""A small Secret Manager: the REST API's ``secrets.list`` and ``secrets.versions.access`` over real HTTP.

Answers and errors are worded as https://cloud.google.com/secret-manager/docs/reference/rest and
https://cloud.google.com/apis/design/errors have them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import google_crc32c
from google.auth.credentials import AnonymousCredentials
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceRestTransport,
)

from tests.support.ports import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = "demo"
# The API's error codes by HTTP status, where a test needs them.
CODES = {400: "FAILED_PRECONDITION", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
CODES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the API; ``reason`` is the one of its ErrorInfo, if it has one."""

    status: int
    message: str
    reason: str = ""

    def body(self) -> dict[str, Any]:
        """The error as Google's REST APIs answer it."""
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": self.reason, "domain": "googleapis.com"}
        details = [info] if self.reason else []
        error = {"code": self.status, "message": self.message, "status": CODES[self.status], "details": details}
        return {"error": error}


@dataclass(slots=True)
class SecretManager:
    """Versions by their path below the project (``matomo-shop-token/versions/3``), and failures to come first."""

    address: str
    versions: dict[str, bytes | Failure] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    spoil_checksum: bool = False

    def client(self) -> SecretManagerServiceClient:
        """The real client with the real transport, speaking to this server."""
        return connect(self.address)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body for the path of a request."""
        self.asked.append(path)
        if self.failures:
            failure = self.failures.pop(0)
            return failure.status, failure.body()
        address = urlsplit(path)
        if address.path == f"/v1/projects/{PROJECT}/secrets":
            return 200, self._page(dict(parse_qsl(address.query)))
        name = path.removeprefix("/v1/").removesuffix(":access").partition("?")[0].removesuffix(":access")
        found = self.versions.get(name.removeprefix(f"projects/{PROJECT}/secrets/"))
        if found is None:
            found = Failure(404, f"Secret [{name.partition('/versions')[0]}] not found or has no versions.")
        if isinstance(found, Failure):
            return found.status, found.body()
        checksum = google_crc32c.value(found) ^ int(self.spoil_checksum)
        payload = {"data": base64.b64encode(found).decode(), "dataCrc32c": str(checksum)}
        return 200, {"name": name.replace("latest", "7"), "payload": payload}

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Two secrets at a time, by the project's number, and where the next ones begin."""
        wanted = query.get("filter", "name:").removeprefix("name:")
        names = sorted({path.partition("/")[0] for path in self.versions})
        found = [{"name": f"projects/123456/secrets/{name}"} for name in names if wanted in name]
        first = int(query.get("pageToken", "0"))
        following = {"nextPageToken": str(first + 2)} if first + 2 < len(found) else {}
        return {"secrets": found[first : first + 2], "totalSize": len(found), **following}


def connect(address: str) -> SecretManagerServiceClient:
    """The real client of the library by its REST transport, without credentials."""
    return SecretManagerServiceClient(
        transport=SecretManagerServiceRestTransport(host=address, url_scheme="http", credentials=AnonymousCredentials())
    )


@contextlib.contextmanager
def started() -> Iterator[SecretManager]:
    """Serve until the block ends."""
    manager = SecretManager("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            status, body = manager.answer(self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer((LOCAL, 0), Handler)
    manager.address = f"{LOCAL}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield manager
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
