"""Rows on their way to the warehouse: compressed newline-delimited JSON on disk, so that memory does not grow.

On a function the disk is memory, hence the compression: repetitive rows shrink about tenfold at level 1, for a
tenth more time.
"""

import gzip
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from matomo_fn.plan import Slice
from matomo_fn.rows import utf8

_LEVEL = 1


class Spool:
    """The rows of one table, each a line; ``size`` counts their bytes, uncompressed.

    That is also what an upload may hold in memory, since the client reads up to 100 MB at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.size = 0
        self._raw = path.open("wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._raw, mtime=0)

    def add(self, piece: Slice, lines: Iterable[str]) -> None:
        """Append the rows of a slice, with the slice's own columns in front."""
        prefix = f'{{"date":"{piece.date}","website_id":"{piece.website_id}","segment":"{piece.segment}",'
        whole = [f"{prefix}{line[1:]}\n" for line in lines]
        self.size += self._gzip.write(utf8("".join(whole)))
        self.rows += len(whole)

    def close(self) -> None:
        """Finish the file; it can then be loaded."""
        self._gzip.close()
        self._raw.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
