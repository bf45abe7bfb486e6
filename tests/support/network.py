"""The tests speak to this machine only."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERNET = {socket.AF_INET, socket.AF_INET6}


class OutsideConnectionError(AssertionError):
    """A test tried to reach another machine. No OSError: the code under test must not take it for a fault."""


def is_local(host: object) -> bool:
    """Whether an address or a name is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_address(host: object) -> bool:
    """Whether it is a number and needs no name server."""
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def only_local() -> Iterator[list[str]]:
    """Refuse every connection to, and every look-up of, another machine; yields what was refused.

    A name that ends with ``.invalid`` is answered as a name server answers one that does not exist, so that
    a test can have an unknown host.
    """
    refused: list[str] = []
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(host: object) -> None:
        refused.append(str(host))
        message = f"a test tried to reach {host}; only this machine is allowed"
        raise OutsideConnectionError(message)

    def check(self: socket.socket, address: Any) -> None:
        if self.family in INTERNET and not is_local(address[0]):
            refuse(address[0])

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not is_local(host) and not is_address(host):
            refuse(host)
        return getaddrinfo(host, *args, **kwargs)

    with (
        mock.patch.object(socket.socket, "connect", guarded_connect),
        mock.patch.object(socket.socket, "connect_ex", guarded_connect_ex),
        mock.patch.object(socket, "getaddrinfo", guarded_getaddrinfo),
    ):
        yield refused
