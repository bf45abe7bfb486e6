"""Who may ask: tokens, and the protection against guessing them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from fake_matomo.errors import RefusedToken, TooManyFailedLogins

# Matomo's Login plugin: more than twenty failed logins within an hour block the address.
_ALLOWED_FAILURES = 20
_BLOCKED_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class User:
    """What the bearer of a token may do; `sites=None` is all of them."""

    sites: frozenset[int] | None = frozenset()
    superuser: bool = False
    secure_only: bool = False
    expired: bool = False

    def sees(self, site_id: int) -> bool:
        """Whether the user has view access to the site."""
        return self.superuser or self.sites is None or site_id in self.sites


ANONYMOUS = User()


class Tokens:
    """The tokens of the instance and the failed logins of the address that asks."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._failures: list[datetime] = []
        self._lock = Lock()

    def add(
        self,
        token: str,
        *,
        sites: Iterable[int] | None = None,
        superuser: bool = False,
        secure_only: bool = False,
        expired: bool = False,
    ) -> None:
        """Makes a token good, or good and expired."""
        seen = None if sites is None else frozenset(sites)
        self._users[token] = User(seen, superuser, secure_only, expired)

    def remove(self, token: str) -> None:
        """Makes a token bad."""
        self._users.pop(token, None)

    def user(self, token: str | None, *, in_url: bool, now: datetime) -> User:
        """The bearer of the token; without one, the anonymous user, who sees nothing."""
        if not token:
            return ANONYMOUS
        with self._lock:
            self._failures = [at for at in self._failures if now - at < _BLOCKED_FOR]
            if len(self._failures) > _ALLOWED_FAILURES:
                raise TooManyFailedLogins
            user = self._users.get(token)
            if user is None or user.expired or (user.secure_only and in_url):
                self._failures.append(now)
                raise RefusedToken(in_url=in_url)
            return user
