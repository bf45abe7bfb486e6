"""One HTTP exchange with a Matomo: the only place that knows the token's text and imports requests."""

import html
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import requests

from matomo_fn import __version__
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, MatomoUnavailable, ReportRefused

USER_AGENT = f"matomo-fn/{__version__} (Matomo to BigQuery)"
# Seconds until a connection stands; how long an answer may take is the connector's timeout_seconds.
CONNECT_TIMEOUT = 10.0
# Bytes of one answer. A month of a large page report has some tens of MB; much more at once would not fit into a
# small function's memory once it is parsed.
MAX_ANSWER = 128 * 1024 * 1024
_CHUNK = 1024 * 1024


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


class HttpTransport:
    """Calls over HTTP: module, method and format in the URL, everything else and the token in the POST body.

    In that form a refused token is answered in JSON; all in the body it would be an HTML page (recordings
    error_bad_token_post, error_bad_token_post_params_in_url).
    """

    def __init__(self, url: str, token: Token, *, timeout: float, deadline: Deadline) -> None:
        self._url = f"{url}index.php"
        self._shown = url
        self._token = token
        self._spelled = re.compile("".join(_spellings(sign) for sign in token.reveal()), re.IGNORECASE)
        self._timeout = timeout
        self._deadline = deadline
        self._local = threading.local()

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send a call and return the answer; redirects are not followed, since they lose the body."""
        query = {"module": "API", "method": method, "format": "json"}
        # The token first: past some 1,000 fields PHP drops the rest.
        timeout = self._deadline.limit_request(self._timeout)
        data = {"token_auth": self._token.reveal(), **form}
        try:
            with self._session().post(
                self._url,
                params=query,
                data=data,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Reply(
                    response.status_code,
                    response.headers.get("Content-Type", ""),
                    _seconds(response.headers.get("Retry-After", "")),
                    self.redact(response.headers.get("Location", "")),
                    self._read(response, method),
                )
        except requests.exceptions.SSLError as error:
            raise MatomoFatal(f"{self._shown}: {_tls_reason(error)}") from None
        except requests.exceptions.ConnectTimeout:
            seconds = min(CONNECT_TIMEOUT, timeout)
            raise MatomoUnavailable(f"{self._shown}: no connection within {seconds:g} seconds") from None
        except requests.exceptions.ReadTimeout:
            raise MatomoUnavailable(
                f"{self._shown}: {method} had no answer within {timeout:g} seconds (timeout_seconds)"
            ) from None
        except requests.exceptions.ChunkedEncodingError:
            raise MatomoUnavailable(f"{self._shown}: the answer to {method} broke off") from None
        except requests.exceptions.ConnectionError as error:
            raise MatomoUnavailable(f"{self._shown}: {_reason(error)}") from None
        except requests.exceptions.RequestException as error:
            raise MatomoUnavailable(f"{self._shown}: {method} failed: {type(error).__name__}") from None
        except UnicodeError:  # of a name with an empty or an endless part; requests lets it through
            raise MatomoFatal(f"{self._shown}: its name cannot be looked up: check matomo_url") from None
        except ValueError as error:  # of a chunk with a negative size, say; as above
            if type(error).__name__ == "LocationParseError":
                raise MatomoFatal(f"{self._shown}: its name cannot be looked up: check matomo_url") from None
            raise MatomoUnavailable(f"{self._shown}: the answer to {method} is no HTTP") from None

    def redact(self, text: str) -> str:
        """Return a text without the token, in whichever spelling a URL, a form, HTML or JSON gives it."""
        return self._spelled.sub("***", text)

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
            session = requests.Session()
            session.headers["User-Agent"] = USER_AGENT
            session.auth = _no_auth
            self._local.session = session
        return session


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from taking a password out of ~/.netrc: the token is all there is."""
    return request


def _spellings(sign: str) -> str:
    """Return a pattern of the ways in which one sign of the token may be written."""
    code = ord(sign)
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in sign.encode(errors="surrogatepass"))
    ways = {re.escape(sign), percent, re.escape(json.dumps(sign)[1:-1]), re.escape(html.escape(sign))}
    ways |= {f"&#0*{code};", f"&#x0*{code:x};", *({" ": (r"\+", "%(?:25)*2b"), "/": (r"\\/",)}.get(sign, ()))}
    return f"(?:{'|'.join(sorted(ways))})"


def _seconds(header: str) -> float | None:
    # The other form, a date, is not promised by any Matomo host and would need the server's clock.
    return float(header) if header.strip().isdecimal() else None


def _tls_reason(error: requests.exceptions.SSLError) -> str:
    if "certificate" in str(error).lower():
        return "its certificate is not valid for that name or not trusted: fix it, or matomo_url"
    return "there is no HTTPS at that address: check matomo_url and the server"


def _reason(error: requests.exceptions.ConnectionError) -> str:
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "its name is not known: check matomo_url"
    if "refused" in text:
        return "the connection was refused"
    return "the connection broke off"
