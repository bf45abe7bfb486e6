"""Matomo's token, wrapped so that no log, error or representation shows it by accident."""


class Token:
    """Matomo's token; only ``reveal`` shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the token itself, for the body of a request and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Token(***)"
