"""The secrets that Segment signs its requests with, wrapped so that nothing shows them by accident."""

import hmac
from typing import Literal

from matomo_fn.redaction import protect
from matomo_fn.values import utf8

Algorithm = Literal["sha1", "sha256"]
# Hexadecimal digits of a signature.
DIGITS: dict[Algorithm, int] = {"sha1": 40, "sha256": 64}


class SignatureSecrets:
    """The texts that a request of a connector may be signed with: one, or two while it is being changed."""

    __slots__ = ("_texts",)

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def protect(self) -> None:
        """Redact the texts from now on, in whatever leaves this process."""
        for text in self._texts:
            protect(text)

    def signed(self, body: bytes, signature: str, algorithm: Algorithm) -> bool:
        """Return whether a signature, in hexadecimal digits, is the HMAC of a body; takes as long for a wrong one.

        https://segment.com/docs/connections/destinations/catalog/webhooks/#authenticate
        """
        given = utf8(signature.lower())
        right = [hmac.new(utf8(text), body, algorithm).hexdigest().encode() for text in self._texts]
        return any([hmac.compare_digest(given, each) for each in right])  # noqa: C419 - each is compared, in any case

    def __repr__(self) -> str:
        return "SignatureSecrets(***)"
