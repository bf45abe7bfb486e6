"""Tokens, their users, and the brute-force protection."""

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
    """The permissions of a token's user; `sites=None` is all sites, and `writes` more than view access to them."""

    sites: frozenset[int] | None = frozenset()
    superuser: bool = False
    secure_only: bool = False
    expired: bool = False
    writes: bool = False

    def sees(self, site_id: int) -> bool:
        """Whether the user has view access to the site."""
        return self.superuser or self.sites is None or site_id in self.sites

    def may_write(self, site_id: int) -> bool:
        """Whether the user has write or admin access to the site."""
        return self.superuser or (self.writes and self.sees(site_id))


ANONYMOUS = User()


class Tokens:
    """The tokens of the instance, and the failed logins of the client's address."""

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
        writes: bool = False,
    ) -> None:
        """Add a token."""
        seen = None if sites is None else frozenset(sites)
        self._users[token] = User(seen, superuser, secure_only, expired, writes)

    def remove(self, token: str) -> None:
        """Remove a token, so that it is refused."""
        self._users.pop(token, None)

    def user(self, token: str | None, *, in_url: bool, now: datetime) -> User:
        """Return the token's user; without a token, the anonymous user, who may view nothing."""
        if not token:
            return ANONYMOUS
        with self._lock:
            if self._blocked(now):
                raise TooManyFailedLogins
            user = self._users.get(token)
            if user is None or user.expired or (user.secure_only and in_url):
                self._failures.append(now)
                raise RefusedToken(in_url=in_url)
            return user

    def tracking_user(self, token: str | None, *, in_url: bool) -> User:
        """Return the user of a token that was sent to the tracker, which takes a bad one for none."""
        user = self._users.get(token or "", ANONYMOUS)
        return ANONYMOUS if user.expired or (user.secure_only and in_url) else user

    def tracking_failed(self, now: datetime) -> None:
        """Count a call of the tracker as a failed login: it needed write access, and its token does not give it."""
        with self._lock:
            if not self._blocked(now):
                self._failures.append(now)

    def blocks(self, now: datetime) -> bool:
        """Whether the address is blocked."""
        with self._lock:
            return self._blocked(now)

    def _blocked(self, now: datetime) -> bool:
        self._failures = [at for at in self._failures if now - at < _BLOCKED_FOR]
        return len(self._failures) > _ALLOWED_FAILURES
