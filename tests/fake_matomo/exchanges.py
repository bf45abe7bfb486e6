"""Requests sent to a fake Matomo, here or in another process, and its answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Protocol
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An answer of the fake."""

    status: int
    content_type: str
    location: str | None
    body: str

    @property
    def answer(self) -> object:
        """The decoded answer."""
        return json.loads(self.body)


class HasUrl(Protocol):
    """A server, here or in another process."""

    @property
    def url(self) -> str:
        """Its URL, with a trailing slash."""


def exchange(
    matomo: HasUrl,
    http_method: str,
    query: Mapping[str, str],
    form: Mapping[str, str] | str,
    headers: Mapping[str, str] | None = None,
    path: str = "/index.php",
) -> Exchanged:
    """Send a request on a new connection."""
    host, port = matomo.url.removeprefix("http://").split("/")[0].split(":")
    target = path + (f"?{urlencode(query)}" if query else "")
    sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    body = form if isinstance(form, str) else urlencode(form)
    connection = HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request(http_method, target, body=body.encode() if http_method != "GET" else None, headers=sent)
        response = connection.getresponse()
        return Exchanged(
            response.status,
            response.headers.get("Content-Type", ""),
            response.headers.get("Location"),
            # The recordings have the image's bytes as text, too.
            response.read().decode(errors="replace"),
        )
    finally:
        connection.close()
