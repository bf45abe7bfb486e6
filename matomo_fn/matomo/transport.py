"""One HTTP exchange with a Matomo: the only place that knows the token's text and imports requests."""

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol

import requests

from matomo_fn import __version__
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.errors import AnswerLost, MatomoError, MatomoFatal, MatomoUnavailable, NotTaken, ReportRefused
from matomo_fn.matomo.connection import AddressRefusedError, Exchange, WatchedAdapter, never_connected
from matomo_fn.matomo.name_lookup import LookupTimedOut
from matomo_fn.redaction import protect

USER_AGENT = f"matomo-fn/{__version__} (Matomo to BigQuery)"
# What the tracking API is called in errors: its calls have no method.
TRACKER = "matomo.php"
# Seconds until a connection stands; how long an answer may take is the connector's timeout_seconds.
CONNECT_TIMEOUT = 10.0
# Bytes of one answer. A month of a large page report has some tens of MB; much more at once would not fit into a
# small function's memory, where each of four threads may have read one that waits to be parsed.
MAX_ANSWER = 64 * 1024 * 1024
_CHUNK = 1024 * 1024
# Characters of the target of a redirect that are kept, to be shown.
_LONGEST_LOCATION = 2_000
# What OpenSSL calls an answer that is not TLS: another protocol, most often HTTP.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status, content type, the wait that the server asked for (seconds), and the body."""

    status: int
    content_type: str
    retry_after: float | None
    location: str
    body: bytes


class AnswerTooLarge(ReportRefused):
    """The answer has more bytes than are read at once; asking for less may do."""


class Transport(Protocol):
    """The one seam between the client and the network."""

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send a call of Matomo's API; raise MatomoUnavailable where no whole answer came."""

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""


class TrackingTransport(Protocol):
    """The seam between the tracker and the network."""

    def track(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """Send hits and return the answer, all within so many seconds.

        Raise NotTaken or MatomoFatal where nothing was sent, and AnswerLost where that is not certain.
        """

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""


class HttpTransport:
    """Calls over HTTP: module, method and format in the URL, everything else and the token in the POST body.

    In that form a refused token is answered in JSON; all in the body it would be an HTML page (recordings
    error_bad_token_post, error_bad_token_post_params_in_url).
    """

    def __init__(
        self, url: str, token: Token, *, timeout: float, deadline: Deadline, allow_private: bool = True
    ) -> None:
        self._url = url
        self._shown = url
        self._token = token
        self._secret = protect(token.reveal())  # what is sent can be echoed
        self._timeout = timeout
        self._deadline = deadline
        self._allow_private = allow_private
        self._local = threading.local()

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send a call and return the answer; redirects are not followed, since they lose the body.

        The connector's timeout_seconds, and what remains of the run, bound the whole exchange.
        """
        timeout = self._deadline.limit_request(self._timeout)
        query = {"module": "API", "method": method, "format": "json"}
        # The token first: past some 1,000 fields PHP drops the rest.
        data = {"token_auth": self._token.reveal(), **form}
        return self._call(f"{self._url}index.php", method, {"params": query, "data": data}, timeout)

    def track(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """Send hits to the tracking API, with the token in the body; redirects are not followed.

        ``seconds``, the connector's timeout_seconds and what remains of the run bound the whole exchange.
        """
        timeout = self._deadline.limit_request(min(self._timeout, seconds))
        what = {"json": {**body, "token_auth": self._token.reveal()}}
        try:
            return self._call(f"{self._url}matomo.php", TRACKER, what, timeout)
        except (NotTaken, MatomoFatal):
            raise
        except MatomoError as error:
            raise AnswerLost(str(error)) from None

    def _call(self, url: str, method: str, what: Mapping[str, Any], timeout: float) -> Reply:
        with Exchange(timeout, allow_private=self._allow_private) as exchange:
            try:
                reply = self._exchange(url, method, what, timeout)
            except AddressRefusedError as error:
                raise MatomoFatal(f"{self._shown}: {error}") from None
            except LookupTimedOut as error:
                raise NotTaken(
                    f"{self._shown}: its name could not be looked up ({error}): check the name servers (DNS) of this "
                    "machine, and matomo_url"
                ) from None
            except requests.exceptions.ConnectTimeout:
                seconds = min(CONNECT_TIMEOUT, timeout)
                raise NotTaken(
                    f"{self._shown}: no connection within {seconds:g} seconds: check that the server runs and can be "
                    "reached from here"
                ) from None
            except requests.exceptions.RequestException as error:
                is_late = exchange.is_over or _is_read_timeout(error)
                raise (self._timed_out(method, timeout) if is_late else self._failure(error, method)) from None
            except ValueError as error:  # which the HTTP library lets through
                if isinstance(error, UnicodeError) or type(error).__name__ == "LocationParseError":
                    raise MatomoFatal(f"{self._shown}: its name cannot be looked up: check matomo_url") from None
                raise MatomoUnavailable(f"{self._shown}: the answer to {method} is not HTTP") from None
            if exchange.is_over:  # the end of the connection may look like that of headers, or of a body
                raise self._timed_out(method, timeout)
            return reply

    def _exchange(self, url: str, method: str, what: Mapping[str, Any], timeout: float) -> Reply:
        with self._session().post(
            url,
            **what,
            timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            return Reply(
                response.status_code,
                response.headers.get("Content-Type", ""),
                _seconds(response.headers.get("Retry-After", "")),
                self.redact(response.headers.get("Location", "")[:_LONGEST_LOCATION]),
                b"" if response.is_redirect else self._read(response, method),
            )

    def _timed_out(self, method: str, timeout: float) -> MatomoUnavailable:
        return MatomoUnavailable(
            f"{self._shown}: {method} had no whole answer within {timeout:g} seconds (timeout_seconds)"
        )

    def _failure(self, error: requests.exceptions.RequestException, method: str) -> MatomoError:
        """Return what a failure of the HTTP library means; its own text has the request in it, and is not shown."""
        match error:
            case requests.exceptions.SSLError():
                return self._tls_failure(error)
            case requests.exceptions.ChunkedEncodingError():
                text = f"the answer to {method} broke off"
            case requests.exceptions.ConnectionError():
                text = _reason(error)
                if never_connected(error):
                    return NotTaken(f"{self._shown}: {text}")
            case _:
                text = f"{method} failed: {type(error).__name__}"
        return MatomoUnavailable(f"{self._shown}: {text}")

    def _tls_failure(self, error: requests.exceptions.SSLError) -> MatomoError:
        """Return what a failed TLS handshake means: only a certificate, or a server without TLS, fails again."""
        cause = _tls_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return MatomoFatal(
                f"{self._shown}: its certificate is not valid for that name or not trusted: fix it, or matomo_url"
            )
        reason = getattr(cause, "reason", None) or "no reason given"
        if reason in _NO_TLS:
            return MatomoFatal(f"{self._shown}: there is no HTTPS at that address: check matomo_url and the server")
        return MatomoUnavailable(f"{self._shown}: the TLS handshake failed ({str(reason).replace('_', ' ').lower()})")

    def redact(self, text: str) -> str:
        """Return a text without the token, whole or in pieces."""
        return self._secret.redact(text)

    def _read(self, response: requests.Response, method: str) -> bytes:
        parts, size = [], 0
        for part in response.iter_content(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER:
                raise AnswerTooLarge(
                    f"{self._shown}: the answer to {method} has more than {MAX_ANSWER >> 20} MiB: set page_rows"
                )
        return b"".join(parts)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:  # one a thread: requests does not promise that sessions can be shared
            session = _Session()
            session.headers["User-Agent"] = USER_AGENT
            session.auth = _no_auth
            # A session keeps cookies and sends them with each call: a server could make calls larger and larger.
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            for scheme in ("http://", "https://"):
                session.mount(scheme, WatchedAdapter())
            self._local.session = session
        return session


class _Session(requests.Session):
    """A session that looks for no next request in a redirect: requests would first read its whole body, of any size."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        """Return nothing."""


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from taking a password out of ~/.netrc: the token is all there is."""
    return request


def _seconds(header: str) -> float | None:
    # The other form, a date, is not promised by any Matomo host and would need the server's clock.
    return float(header) if header.strip().isdecimal() else None


def _tls_cause(error: BaseException) -> BaseException | None:
    """Return the error of the TLS library that others are wrapped around."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        inner = getattr(seen, "reason", None) or next(iter(seen.args), None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return seen


def _is_read_timeout(error: requests.exceptions.RequestException) -> bool:
    # Of a body that is read in parts, requests calls a time-out of the socket a broken connection.
    return isinstance(error, requests.exceptions.ReadTimeout) or (
        bool(error.args) and type(error.args[0]).__name__ == "ReadTimeoutError"
    )


def _reason(error: requests.exceptions.ConnectionError) -> str:
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "its name is not known: check matomo_url"
    if "refused" in text:
        return "the connection was refused: check that the server runs, and the port in matomo_url"
    return "the connection broke off"
