"""The segments that are saved in a Matomo."""

from dataclasses import dataclass

from matomo_fn.errors import InvalidResponse
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.limits import MOST_SETTINGS, refuse_long_list
from matomo_fn.values import shown

_METHOD = "SegmentEditor.getAll"


@dataclass(frozen=True, slots=True)
class SavedSegment:
    """A segment of the segment editor; ``site_id``: the only site that has it, empty for all."""

    name: str
    definition: str
    site_id: str


def saved_segments(client: MatomoClient) -> list[SavedSegment]:
    """Return the saved segments that the token's user may see (recording m53_seg_getAll)."""
    value, _ = client.call(_METHOD, {"filter_limit": "-1"})
    if not isinstance(value, list):
        raise InvalidResponse(f"{_METHOD} answers no list of segments")
    refuse_long_list(_METHOD, value, MOST_SETTINGS)
    found = []
    for item in value:
        if not isinstance(item, dict) or not {"name", "definition", "enable_only_idsite"} <= item.keys():
            raise InvalidResponse(f"{_METHOD} answers {shown(item)} where a segment belongs")
        if str(item.get("deleted", 0)) in ("0", ""):
            only = str(item["enable_only_idsite"])
            found.append(SavedSegment(str(item["name"]), str(item["definition"]), "" if only in ("0", "") else only))
    return found
