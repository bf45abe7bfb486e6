"""The segments that users have saved in the segment editor, as `SegmentEditor.getAll` lists them."""

from dataclasses import dataclass
from hashlib import md5
from urllib.parse import unquote

_SAVED_AT = "2026-10-06 08:00:00"


@dataclass(frozen=True, slots=True)
class SavedSegment:
    """A saved segment; `only_site` is 0 for all sites."""

    id: int
    name: str
    definition: str
    only_site: int
    auto_archive: bool

    def described(self) -> dict[str, object]:
        """Return the segment as the API lists it (`m53_seg_getAll`)."""
        return {
            "idsegment": self.id,
            "name": self.name,
            "definition": self.definition,
            "hash": md5(unquote(self.definition).encode(), usedforsecurity=False).hexdigest(),
            "login": "admin",
            "enable_all_users": 1,
            "enable_only_idsite": self.only_site,
            "auto_archive": int(self.auto_archive),
            "ts_created": _SAVED_AT,
            "ts_last_edit": None,
            "deleted": 0,
        }


class SavedSegments:
    """The saved segments of the instance."""

    def __init__(self) -> None:
        self._saved: dict[tuple[str, int], SavedSegment] = {}
        self._last = 0

    def save(self, name: str, definition: str, *, only_site: int = 0, auto_archive: bool = True) -> None:
        """Save a segment, in the place of one of that name and site."""
        self._last += 1
        self._saved[name, only_site] = SavedSegment(self._last, name, definition, only_site, auto_archive)

    def described(self, site_id: int = 0) -> list[dict[str, object]]:
        """Return the segments of a site, or all, by name."""
        found = [one for one in self._saved.values() if not site_id or one.only_site in (0, site_id)]
        return [one.described() for one in sorted(found, key=lambda one: (one.name, one.id))]
