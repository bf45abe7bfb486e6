"""Segments: parts of a site's visits, by a name that the tables have and a definition that Matomo reads."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

# Characters of a definition's hash that the log keeps: enough to tell two definitions of one name apart.
_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment; the empty name and definition stand for all visits.

    ``definition``: in Matomo's segment language. ``tables``: the tables that have it, None for all.
    ``of_sites``: the definition at the sites that have one of their own; where it is not empty, no other site has the
    segment.
    """

    name: str
    definition: str = ""
    tables: frozenset[str] | None = None
    of_sites: Mapping[str, str] = field(default_factory=dict, hash=False)

    def at(self, site_id: str) -> str:
        """Return the definition that a site's visits are selected by."""
        return self.of_sites.get(site_id, self.definition)

    def has(self, table: str, site_id: str) -> bool:
        """Return whether a table has the segment at a site."""
        return (self.tables is None or table in self.tables) and (not self.of_sites or site_id in self.of_sites)

    @property
    def hash(self) -> str | None:
        """What the log tells the definition by; None for all visits."""
        if not self.name:
            return None
        texts = [self.definition, *(f"{site}\n{text}" for site, text in sorted(self.of_sites.items()))]
        return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()[:_HASH_LENGTH]


EVERY_VISIT = Segment("")
