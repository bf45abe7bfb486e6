"""Tokens that Matomo has refused lately: a delivery a minute would get the address blocked within ten.

21 refused tokens an hour block an address, also for those whose token is good (recording bruteforce_blocked_*). An
instance remembers them itself. It is called each minute and so lives on; a new one sends a refused token once.
"""

import hashlib
import threading
import time
from collections.abc import Callable

from matomo_fn.config.token import Token

# Seconds in which a refused token is not sent again: two calls an attempt make eight an hour.
QUIET_SECONDS = 900.0


class RefusedTokens:
    """Remembers refused tokens by their hashes; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def add(self, token: Token) -> None:
        """Remember a token for some time."""
        with self._lock:
            now = self._clock()
            self._until = {known: until for known, until in self._until.items() if until > now}
            self._until[_hash(token)] = now + QUIET_SECONDS

    def __contains__(self, token: Token) -> bool:
        with self._lock:
            return self._until.get(_hash(token), 0.0) > self._clock()


def _hash(token: Token) -> str:
    return hashlib.sha256(token.reveal().encode(errors="surrogatepass")).hexdigest()
