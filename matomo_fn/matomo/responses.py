"""What an answer means: HTTP status says little, so it is judged by the body."""

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from matomo_fn.errors import (
    InvalidResponse,
    MatomoFatal,
    MatomoUnavailable,
    ReportRefused,
    SegmentRefused,
    SegmentUnprocessed,
    TokenRefused,
)
from matomo_fn.json_codec import REFUSED, decode
from matomo_fn.matomo.answer_memory import is_too_deep, is_too_large, most_of, signs_of
from matomo_fn.matomo.transport import AnswerTooLarge, Reply

# Removes the token from a text of Matomo's, should it repeat it.
Redact = Callable[[str], str]
# Reads the JSON value of a body, or raises one of REFUSED.
Decode = Callable[[bytes], Any]

# Where JSON may begin behind a PHP notice; a page of HTML has many brackets and is given up early.
_NOTICE_CANDIDATES = 50
_ASKED = re.compile(r"index\.php\?module=API&.*")  # what a redirect to https repeats of the call
_PLUGIN_OFF = re.compile(r"The plugin \S+ is not enabled\.")
# Characters of a message that an error repeats, and of those that are looked through for the token before.
_SHOWN, _READ = 200, 2_000
# What Matomo says of a segment that it does not take (recordings error_bad_segment_*; the last one, its Segment.php).
_SEGMENT_REFUSED = (
    "is not a supported segment",
    "The segment condition",
    "not have enough permission to access the segment",
)
# What Matomo 3 to 5 say of a segment without archives, where they do not answer as for no visits
# (SegmentEditor/lang/en.json: UnprocessedSegmentApiError1, CustomUnprocessedSegmentApiError1).
_SEGMENT_UNPROCESSED = (
    "configured to process segmented reports in API requests",
    "configured to not process segment reports in API requests",
    "has not yet been created in the Segment Editor",
    "the Segment you requested",
)
# What it says where the visits log is switched off, for all sites or for one (recording live_disabled).
_VISITS_LOG_OFF = "Visits log is deactivated"


class PluginOff(ReportRefused):
    """The plugin that has the report is switched off in Matomo, for all sites."""


class VisitsLogOff(ReportRefused):
    """The visits log is switched off in Matomo, for all sites or for this one."""


class AccessRefused(ReportRefused):
    """The token's user may not see that."""


def parse_response(redact: Redact, method: str, reply: Reply, decode: Decode = decode) -> Any:
    """Return the JSON value of an answer as ``decode`` reads it, or raise what the answer means.

    What ``decode`` refuses is read as the standard library does.
    TokenRefused and MatomoFatal end the run; MatomoUnavailable may be tried again; ReportRefused is Matomo's word
    on this very call; InvalidResponse is an answer that cannot be read.
    """
    _check_size(method, reply.body)
    value, is_json = read_json(reply.body, decode)
    message = _message(value) if is_json else None
    shown = _shown(redact, message or "")
    if reply.status >= 400 and b"Too many failed logins" in reply.body[:20_000]:
        raise TokenRefused(
            "Matomo has blocked this address after too many refused tokens: check the token secret, wait an hour, "
            "or have an administrator unblock the address"
        )
    if reply.status in (301, 302, 303, 307, 308):
        target = _ASKED.sub("", reply.location)[:_SHOWN]
        raise MatomoFatal(f"Matomo redirects to {target}: set matomo_url to the address that it redirects to")
    if reply.status == 401:
        _raise_unauthorised(method, shown if is_json else None)
    if reply.status == 429 or (reply.status == 503 and not is_json):
        what = "limits how often it is asked" if reply.status == 429 else "is in maintenance or overloaded"
        raise MatomoUnavailable(f"{method}: Matomo {what} (HTTP {reply.status})", retry_after=reply.retry_after)
    if message is not None:
        _raise_error(method, reply, shown)
    if reply.status >= 500 or reply.status == 408:
        raise MatomoUnavailable(
            f"{method}: HTTP {reply.status} {_excerpt(redact, reply)}", retry_after=reply.retry_after
        )
    if not is_json:
        _raise_no_json(redact, method, reply)
    if reply.status >= 400:
        raise ReportRefused(f"{method}: HTTP {reply.status} {_excerpt(redact, reply)}")
    return value


def error_of(redact: Redact, method: str, value: object) -> ReportRefused | None:
    """Return the error that stands in one entry of a bulk answer, if it is one."""
    message = _message(value)
    return None if message is None else _refusal(method, _shown(redact, message))


def _shown(redact: Redact, message: str) -> str:
    """Return what an error repeats of a message: a part of one, since to redact megabytes takes seconds."""
    return redact(message[:_READ])[:_SHOWN]


def _refusal(method: str, shown: str) -> ReportRefused:
    """Return the error that a message of Matomo's API is."""
    kind: type[ReportRefused] = ReportRefused
    if any(text in shown for text in _SEGMENT_REFUSED):
        kind = SegmentRefused
    elif any(text in shown for text in _SEGMENT_UNPROCESSED):
        kind = SegmentUnprocessed
    elif _PLUGIN_OFF.match(shown):
        kind = PluginOff
    elif shown.startswith(_VISITS_LOG_OFF):
        kind = VisitsLogOff
    return kind(f"{method}: Matomo says: {shown}")


def _raise_unauthorised(method: str, shown: str | None) -> None:
    if shown and "access the segment" in shown:
        raise _refusal(method, shown)
    if shown and "requires" in shown and "access" in shown:
        raise AccessRefused(f"Matomo says: {shown} Give the token's user view access, or take the site out")
    raise TokenRefused(
        "Matomo refused the token: it is wrong, expired or revoked. Put a valid one into the token secret"
    )


def _raise_error(method: str, reply: Reply, shown: str) -> None:
    exhausted = "Allowed memory size" in shown or "Maximum execution time" in shown
    if reply.status >= 500 and not exhausted:
        raise MatomoUnavailable(f"{method}: Matomo says: {shown} (HTTP {reply.status})", retry_after=reply.retry_after)
    raise _refusal(method, shown)


def _raise_no_json(redact: Redact, method: str, reply: Reply) -> None:
    if reply.status in (404, 410):
        raise MatomoFatal(f"there is no Matomo at this address (HTTP {reply.status}): check matomo_url")
    if reply.status == 403:
        raise MatomoFatal(
            "a firewall or the web server in front of Matomo refuses the call (HTTP 403): let this program's "
            "address or its User-Agent through, or check matomo_url"
        )
    if reply.status >= 400:
        raise ReportRefused(f"{method}: HTTP {reply.status} {_excerpt(redact, reply)}")
    if "html" in reply.content_type.lower():
        # A login page, a proxy or an error page of PHP: the next try may be answered by Matomo itself.
        raise MatomoUnavailable(f"{method}: the answer is an HTML page, not Matomo's API: check matomo_url")
    raise MatomoUnavailable(f"{method}: the answer is not JSON; it may have been cut off: {_excerpt(redact, reply)}")


def _check_size(method: str, body: bytes) -> None:
    """Refuse before it is parsed what would not fit into memory, or is too deep to be walked through."""
    most = most_of(method)
    signs = signs_of(body)
    if is_too_large(body, signs, most):
        raise AnswerTooLarge(f"{method}: the answer would take more than {most >> 20} MiB of memory: set page_rows")
    if is_too_deep(body, signs):
        raise InvalidResponse(f"{method}: the answer is nested more deeply than any of Matomo's")


def read_json(body: bytes, decode: Decode = decode) -> tuple[Any, bool]:
    """Return the JSON value of a body and whether there is one; PHP notices in front of it are passed over."""
    try:
        return decode(body), True
    except REFUSED:
        pass
    try:
        return json.loads(body, parse_constant=_refuse_constant), True
    except RecursionError:
        return None, False
    except ValueError:
        pass
    return _parse_behind_notice(body)


def _parse_behind_notice(body: bytes) -> tuple[Any, bool]:
    """Return the JSON value that stands behind PHP's notices, which are HTML, up to the end of a body."""
    text = body.decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("<"):
        return None, False
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    for start in islice((match.start() for match in re.finditer(r"[\[{]", text)), _NOTICE_CANDIDATES):
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if error.pos >= len(text) or error.msg.startswith("Unterminated"):
                break  # cut off: what stands whole further inside is not the answer
        except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
            break
        else:
            if not text[end:].strip():
                return value, True
    return None, False


def _refuse_constant(name: str) -> Any:
    raise InvalidResponse(f"Matomo's answer has {name}, which is not JSON")


def _message(value: object) -> str | None:
    if isinstance(value, dict) and value.get("result") == "error":
        return str(value.get("message", "an error without a message"))
    return None


def _excerpt(redact: Redact, reply: Reply) -> str:
    # Cleaned of the token before it is cut: of a token that is cut in two nothing would be recognised.
    text = redact(reply.body[:20_000].decode(errors="replace"))[:2_000]
    return repr(" ".join(text.split())[:80])
