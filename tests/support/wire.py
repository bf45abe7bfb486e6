"""A server that keeps the very bytes that came, and sends the very bytes that a test wants."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import itertools
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.ports import LOCAL

if TYPE_CHECKING:
    from pathlib import Path


def answer(body: bytes | str = b"[]", status: str = "200 OK", **headers: str) -> bytes:
    """Return the bytes of an HTTP answer; a header's name is written with underscores."""
    raw = body.encode() if isinstance(body, str) else body
    fields = {"content_type": "application/json", "content_length": str(len(raw))} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + raw


# Bytes of a drip, one in 5 milliseconds: whoever reads it to its end has not given it up in time, and is told so by a
# connection that breaks off, not by a test that hangs.
_MOST_DRIPS = 2_000


class WireServer:
    """Answers each request on a connection of its own; ``requests`` are the bytes that came, ``arrived`` when one has.

    With ``silent`` it sends what it has and then neither a byte more nor hangs up. With ``drip`` it sends that, again
    and again, a byte every few milliseconds, for as long as somebody reads; with ``again`` it first answers a second
    request of the connection by that. ``cut`` handshakes of TLS are cut short.
    """

    def __init__(
        self,
        sent: bytes,
        *,
        silent: bool = False,
        drip: bytes = b"",
        again: bytes = b"",
        tls: ssl.SSLContext | None = None,
        cut: int = 0,
    ) -> None:
        self.sent = sent
        self.connections = 0
        self._again = again
        self._drip = drip
        self._cut = cut
        self.requests: list[bytes] = []
        self.arrived = threading.Event()
        self._silent = silent
        self._tls = tls
        self._stop = threading.Event()
        self._socket = socket.create_server((LOCAL, 0), backlog=16)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where it answers, as a connector has it."""
        return f"{'https' if self._tls else 'http'}://{LOCAL}:{self._socket.getsockname()[1]}/"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]  # a function
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._cut:
                self._cut -= 1
                with connection:
                    connection.recv(5)
                return
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.connections += 1
            with connection:
                self.requests.append(_read_request(connection))
                self.arrived.set()
                connection.sendall(self.sent)
                if self._again:
                    self.requests.append(_read_request(connection))
                    connection.sendall(self._again)
                if self._silent:
                    self._stop.wait()
                for byte in itertools.islice(itertools.cycle(self._drip), _MOST_DRIPS):
                    if self._stop.wait(0.005):
                        break
                    connection.sendall(bytes([byte]))


def _read_request(connection: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _some(connection)
        if raw.startswith(b"\x16"):
            return raw  # the beginning of TLS, which a server without it answers as it answers anything
    head, _, body = raw.partition(b"\r\n\r\n")
    lengths = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    length = next(lengths, 0)  # a GET has none
    while len(body) < length:
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server whose certificate nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOCAL))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
