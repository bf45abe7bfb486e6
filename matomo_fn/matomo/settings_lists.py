"""Lists of settings, such as the goals of sites: many in one HTTP call, each with its own answer or error."""

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from matomo_fn.errors import InvalidResponse, MatomoError, MatomoFatal
from matomo_fn.matomo.limits import MOST_SETTINGS, refuse_long_list
from matomo_fn.matomo.reports import BULK, Call
from matomo_fn.matomo.responses import error_of

# Calls within one HTTP call: Matomo runs them one after another, and each takes it some milliseconds.
LISTS_PER_CALL = 20

# A method, and the site that it is called for; '' for all at once.
Wanted = tuple[str, str]


def read_lists(call: Call, redact: Callable[[str], str], wanted: Sequence[Wanted]) -> dict[Wanted, object]:
    """Return the answer to each call, or the MatomoError that took its place."""
    found: dict[Wanted, object] = {}
    for start in range(0, len(wanted), LISTS_PER_CALL):
        part = wanted[start : start + LISTS_PER_CALL]
        try:
            answers = _bulk(call, part)
        except MatomoFatal:
            raise
        except MatomoError as error:
            found |= dict.fromkeys(part, error)
            continue
        for each, answer in zip(part, answers, strict=True):
            found[each] = error_of(redact, each[0], answer) or _of_bounded_length(each[0], answer)
    return found


def _of_bounded_length(method: str, answer: object) -> object:
    """Return a list of settings, or the error that takes its place where it is too long."""
    try:
        refuse_long_list(method, answer if isinstance(answer, list | dict) else (), MOST_SETTINGS)
    except InvalidResponse as error:
        return error
    return answer


def _bulk(call: Call, wanted: Sequence[Wanted]) -> list[object]:
    form = {"filter_limit": "-1"}  # of the list of answers, which is cut to 100 without it
    for index, (method, site_id) in enumerate(wanted):
        inner = {"method": method, "language": "en", "filter_limit": "-1", "filter_offset": "0"}
        form[f"urls[{index}]"] = urlencode(inner | ({"idSite": site_id} if site_id else {}))
    value, _ = call(BULK, form)
    if not isinstance(value, list) or len(value) != len(wanted):
        raise InvalidResponse(f"{BULK} does not answer each of {len(wanted)} calls")
    return value
