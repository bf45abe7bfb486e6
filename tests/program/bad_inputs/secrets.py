"""What may be wrong with the files of the secrets."""

from __future__ import annotations

from tests.program.bad_inputs.case import (
    EVERYTHING,
    Case,
)
from tests.support.canary import CANARY

SECRETS = (
    Case(
        "no configuration",
        400,
        ("there is no file <secrets>/matomo-shop-config: write the secret matomo-shop-config into it",),
        config=None,
    ),
    Case(
        "no token",
        400,
        ("there is no file <secrets>/matomo-shop-token: write the secret matomo-shop-token into it",),
        token=None,
    ),
    Case(
        "an empty token",
        400,
        ("the secret matomo-shop-token is empty: put the Matomo token into it",),
        token=" \n",
    ),
    Case(
        "two lines",
        400,
        ("the secret matomo-shop-token has more than one line: it has to be the token alone",),
        token=f"# of the user sync\n{CANARY}\n",
    ),
    Case(
        "bytes that are no text",
        400,
        ("the file <secrets>/matomo-shop-token is not UTF-8 text",),
        token=b"\xff\xfe" + CANARY.encode("utf-16-le"),
    ),
    Case(
        "a folder for a file",
        400,
        ("the file <secrets>/matomo-shop-token cannot be read: Is a directory",),
        token=None,
        wrong=lambda place: (place.secrets / "matomo-shop-token").mkdir(),
    ),
    Case(
        "a byte order mark, as editors on Windows write it, does no harm",
        200,
        (),
        token=b"\xef\xbb\xbf" + CANARY.encode(),
        written=EVERYTHING,
    ),
)
