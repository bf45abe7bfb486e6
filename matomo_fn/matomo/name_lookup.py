"""Looking up a host's addresses within a time.

The system's resolver takes no limit: with name servers that do not answer it waits for as long as its own
configuration says, half a minute by default.
"""

import socket
from functools import partial

from matomo_fn.daemon_threads import DaemonThreads


class LookupTimedOut(Exception):
    """The resolver had no answer within the time."""


_threads = DaemonThreads("look-up")


def look_up(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a host, each once, in the resolver's order.

    Raises LookupTimedOut, OSError where the name is not known, and UnicodeError where it cannot be one.
    """
    with _threads.running(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)) as answer:
        try:
            found = answer.result(seconds)
        except TimeoutError:
            if answer.done():
                raise
            raise LookupTimedOut(f"no answer within {seconds:.2g} seconds") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
