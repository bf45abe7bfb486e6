"""Rows on their way to the warehouse: compressed newline-delimited JSON on disk, so that memory does not grow.

On a function the disk is memory, hence the compression: repetitive rows shrink about tenfold, for a tenth more time.
zlib-ng takes a third of the time of zlib for it.
"""

import errno
import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from zlib_ng import zlib_ng

from matomo_fn.errors import DiskFull
from matomo_fn.redaction import redact_rows
from matomo_fn.slices import Slice
from matomo_fn.values import encode, utf8

_LEVEL = 2  # its lowest with the ratio of zlib's level 1
_GZIP = 31  # the number by which zlib calls gzip's format; it writes no name and no time
# Characters of rows that are compressed at once: slices may be of a few rows.
_AT_ONCE = 64 * 1024
_PART = 1 << 20  # bytes that are read at once


# Of sites and segments, which many slices share.
_text = lru_cache(maxsize=1024)(encode)


@contextmanager
def named_if_full(folder: Path) -> Iterator[None]:
    """Raise DiskFull where what is written to a temporary folder finds no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"the disk of the temporary folder {folder} is full: free some of it, or name a larger one in TMPDIR"
        ) from None


class Buffer:
    """The rows of one table, each a line; ``size`` counts their bytes, uncompressed.

    That is also what an upload may hold in memory, since the client reads up to 100 MB at once.
    """

    def __init__(self, path: Path, *, has_segment: bool = True) -> None:
        self.path = path
        self._has_segment = has_segment
        self.rows = 0
        self._written = 0
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._slice: Slice | None = None  # the one that was added to last, and what stands in front of its rows
        self._prefix = ""
        with named_if_full(path.parent):
            self._file = path.open("wb")
        self._compressor = zlib_ng.compressobj(_LEVEL, wbits=_GZIP)

    @property
    def size(self) -> int:
        """Bytes of the rows; of those that were added last at least as many as they have characters."""
        return self._written + self._waiting_size

    def add(self, slice_: Slice, lines: Sequence[str]) -> None:
        """Append the rows of a slice, with the slice's own columns in front."""
        if not lines:
            return
        if slice_ is not self._slice:
            segment = f',"segment":{_text(slice_.segment)}' if self._has_segment else ""
            self._prefix = f'{{"date":"{slice_.date}","website_id":{_text(slice_.website_id)}{segment},'
            self._slice = slice_
        prefix = self._prefix
        rows = f"\n{prefix}".join([line[1:] for line in lines])  # without the brace that the prefix has
        self._waiting += (prefix, rows, "\n")
        self._waiting_size += len(prefix) + len(rows) + 1
        self.rows += len(lines)
        if self._waiting_size >= _AT_ONCE:
            with named_if_full(self.path.parent):
                self._write()

    def close(self) -> None:
        """Finish the file; it can then be loaded."""
        if self._file.closed:
            return
        with named_if_full(self.path.parent):
            self._write()
            self._file.write(self._compressor.flush())
            self._file.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self._waiting.clear()
        with suppress(OSError):  # what finds no room any more is deleted in any case
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Compress what waits, without any secret."""
        rows = utf8(redact_rows("".join(self._waiting)))
        self._waiting.clear()
        self._waiting_size = 0
        self._written += len(rows)
        self._file.write(self._compressor.compress(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


@dataclass(frozen=True, slots=True)
class BufferedSlice:
    """A slice whose rows were too many to hold: they are in a buffer of their own, which is closed."""

    buffer: Buffer
    content_hash: str
    has_others: bool = False

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        return self.buffer.rows


@contextmanager
def open_joined(files: Sequence[Path]) -> Iterator[IO[bytes]]:
    """Open the texts of compressed files as one stream, decompressed while it is read."""
    # Buffered: a reader takes fewer bytes than it asked for as the end, and a raw stream may give fewer anywhere.
    with io.BufferedReader(_Joined(files)) as stream:
        yield stream


def count_lines(files: Sequence[Path]) -> int:
    """Return how many lines compressed files have together."""
    with open_joined(files) as stream:
        return sum(part.count(b"\n") for part in iter(lambda: stream.read(_PART), b""))


class _Joined(io.RawIOBase):
    """Reads compressed files one behind the other."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._rest = list(files)
        self._file: gzip.GzipFile | None = None
        self._position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Return how many bytes were read; an upload wants to know that it is at the beginning."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the present file goes; 0 is the end of the last one."""
        while self._file is not None or self._rest:
            if self._file is None:
                self._file = gzip.GzipFile(self._rest.pop(0), "rb")
            count = self._file.readinto(buffer)
            if count:
                self._position += count
                return count
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
