"""How much a Matomo may answer: more than any has, and little enough that none fills a disk, a memory or a dataset.

The bytes of an answer are bounded by the transport, what it takes in memory by `answer_memory`, its time by
`connection`. docs/security.md has them all.
"""

from collections.abc import Sized

from matomo_fn.errors import InvalidResponse

# Entries of the list of sites; the largest instances have some ten thousand.
MOST_SITES = 100_000
# Reports in the metadata of a site, each of which may become a table; a site with hundreds of goals has a thousand.
MOST_REPORTS = 10_000
# Goals, custom dimensions or saved segments of one list.
MOST_SETTINGS = 10_000


def refuse_long_list(method: str, entries: Sized, most: int) -> None:
    """Raise InvalidResponse for a list that no Matomo answers."""
    if len(entries) > most:
        raise InvalidResponse(f"{method} lists {len(entries)} entries, and no Matomo has more than {most}")
