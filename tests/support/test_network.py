"""The guard of the network: this machine can be reached, and no other."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support import network
from tests.support.network import OutsideConnectionError

if TYPE_CHECKING:
    from pathlib import Path


def test_no_test_reaches_another_machine(nothing_outside: list[str]) -> None:
    """Neither by address nor by name, and no error that the code under test could take for a fault."""
    with socket.socket() as tcp:
        with pytest.raises(OutsideConnectionError):
            tcp.connect(("192.0.2.1", 80))
        with pytest.raises(OutsideConnectionError):
            tcp.connect_ex(("192.0.2.1", 80))
    with pytest.raises(OutsideConnectionError):
        socket.create_connection(("example.com", 80))
    assert not issubclass(OutsideConnectionError, OSError)
    assert nothing_outside == ["192.0.2.1", "192.0.2.1", "example.com"]
    nothing_outside.clear()


def test_an_unknown_host_is_unknown() -> None:
    """``.invalid`` names are answered as a name server would."""
    with pytest.raises(socket.gaierror):
        socket.create_connection(("matomo.invalid", 80))


def test_this_machine_can_be_reached(tmp_path: Path) -> None:
    """TCP, sockets in a folder, and asyncio work."""

    async def talk() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        said = b""
        path = str(tmp_path / "socket")
        async with (
            await asyncio.start_server(echo, "127.0.0.1", 0) as tcp,
            await asyncio.start_unix_server(echo, path),
        ):
            port = tcp.sockets[0].getsockname()[1]
            for streams in (
                await asyncio.open_connection("localhost", port),
                await asyncio.open_unix_connection(path),
            ):
                reader, writer = streams
                writer.write(b"hi\n")
                said += await reader.readline()
                writer.close()
                await writer.wait_closed()
        return said

    assert asyncio.run(talk()) == b"hi\nhi\n"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        (None, True),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_what_counts_as_this_machine(host: str | None, *, expected: bool) -> None:
    """Loopback addresses and nothing else."""
    assert network.is_local(host) is expected
