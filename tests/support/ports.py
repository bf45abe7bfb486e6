"""Ports of this machine, and waiting for what listens on them."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL = "127.0.0.1"
POLL_SECONDS = 0.005


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOCAL, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for(port: int, *, seconds: float, is_alive: Callable[[], bool]) -> bool:
    """Wait until something accepts connections; False when it died or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_alive():
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((LOCAL, port)) == 0:
                return True
        time.sleep(POLL_SECONDS)
    return False
