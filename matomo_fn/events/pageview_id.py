"""The id by which a hit is found again in Matomo's visits log."""

import string
from hashlib import sha256

# Matomo keeps the first six characters of pv_id (plugins/Actions/Columns/IdPageview.php); its own tracker takes them
# from this alphabet.
_LENGTH = 6
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def pageview_id(message_id: str) -> str:
    """Return the pv_id of the hits of a message: six characters, always the same.

    The visits log shows it as ``idpageview`` of page views, events and searches.
    """
    number = int.from_bytes(sha256(message_id.encode()).digest())
    characters = []
    for _ in range(_LENGTH):
        number, position = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[position])
    return "".join(characters)
