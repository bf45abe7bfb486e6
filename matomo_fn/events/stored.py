"""What Matomo's columns hold: texts are cut here, where nothing is torn apart, and not by Matomo.

Matomo stores most texts as HTML (``&`` as ``&amp;``) and cuts that at a number of bytes, also within a character, which
its database may then refuse with the whole hit (core/Tracker/PageUrl.php, cleanupString).
"""

from hashlib import sha256

# [Tracker] page_maximum_length in Matomo's config/global.ini.php: names of pages, events, products and searches.
NAME_BYTES = 1_024


def cut(text: str, most: int = NAME_BYTES) -> str:
    """Return as much of a text, from its start, as Matomo stores in so many bytes."""
    if _stored_bytes(text) <= most:
        return text
    size = 0
    for position, character in enumerate(text):
        size += _stored_bytes(character)
        if size > most:
            return text[:position].rstrip()
    return text


def whole_id(text: str, most: int) -> str:
    """Return an id; the hexadecimal SHA-256 in place of one that Matomo would cut: two ids must not become one."""
    return text if _stored_bytes(text) <= most else sha256(text.encode()).hexdigest()


def _stored_bytes(text: str) -> int:
    return len(text.encode()) + 4 * text.count("&") + 5 * text.count('"') + 3 * text.count("<") + 3 * text.count(">")
