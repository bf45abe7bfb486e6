"""The buffer: rows on disk, compressed, counted, and gone when they are done with."""

from __future__ import annotations

import gzip
import json
import random
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.errors import DiskFull
from matomo_fn.slices import Slice, Stream
from matomo_fn.values import utf8
from matomo_fn.warehouse.buffer import Buffer

DAY = date(2026, 11, 16)
PIECE = Slice(Stream("countries", "12", "mobile"), DAY)


def read(buffer: Buffer) -> list[dict[str, object]]:
    """The rows of a buffer that is closed."""
    return [json.loads(line) for line in gzip.decompress(buffer.path.read_bytes()).decode().split("\n")[:-1]]


def test_a_row_has_its_slices_columns_in_front(tmp_path: Path) -> None:
    """Each line is one JSON object: date, site, segment, then what was shaped, in the order it came."""
    buffer = Buffer(tmp_path / "s.gz")
    buffer.add(PIECE, ['{"label":"France","n":1}', '{"label":"Italy","n":2}'])
    buffer.add(Slice(Stream("countries", "3"), DAY), ['{"label":"a\\nb \\"c\\" é 😀","n":3}'])
    buffer.close()
    assert [list(row.values()) for row in read(buffer)] == [
        ["2026-11-16", "12", "mobile", "France", 1],
        ["2026-11-16", "12", "mobile", "Italy", 2],
        ["2026-11-16", "3", "", 'a\nb "c" é 😀', 3],
    ]
    assert list(read(buffer)[0]) == ["date", "website_id", "segment", "label", "n"]


@given(st.text(), st.text())
def test_a_slices_own_columns_are_encoded_like_any_other(site: str, segment: str) -> None:
    """Whatever a site or a segment is called, it stays one value of one column."""
    with TemporaryDirectory() as folder:
        buffer = Buffer(Path(folder) / "s.gz")
        buffer.add(Slice(Stream("countries", site, segment), DAY), ['{"n":1}'])
        buffer.close()
        (row,) = read(buffer)
    expected = {name: utf8(text).decode() for name, text in (("website_id", site), ("segment", segment))}
    assert row == {"date": "2026-11-16", "n": 1} | expected


def test_rows_and_bytes_are_counted_uncompressed(tmp_path: Path) -> None:
    """The size is that of the text that will be uploaded, however well it is compressed."""
    with Buffer(tmp_path / "s.gz") as buffer:
        buffer.add(PIECE, ['{"label":"é"}'] * 1000)
        buffer.close()
        text = gzip.decompress(buffer.path.read_bytes())
        assert buffer.rows == 1000
        assert buffer.size == len(text)
        assert buffer.path.stat().st_size < buffer.size / 20


def test_a_slice_without_rows_leaves_no_line(tmp_path: Path) -> None:
    """An empty slice is an empty file, which a load takes."""
    buffer = Buffer(tmp_path / "s.gz")
    buffer.add(PIECE, [])
    buffer.close()
    assert (buffer.rows, buffer.size, read(buffer)) == (0, 0, [])


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    """The id of the load job comes from the file, so neither its name nor the time stands in it."""
    files = []
    for name in ("a.gz", "b.gz"):
        buffer = Buffer(tmp_path / name)
        buffer.add(PIECE, ['{"label":"France"}'])
        buffer.close()
        files.append(buffer.path.read_bytes())
    assert files[0] == files[1]
    assert files[0][4:8] == bytes(4)  # where gzip has the time (RFC 1952, 2.3)


@given(st.text())
def test_any_text_can_be_written(tmp_path_factory: pytest.TempPathFactory, label: str) -> None:
    """Half a surrogate pair becomes U+FFFD; everything else comes back as it went."""
    buffer = Buffer(tmp_path_factory.mktemp("buffer") / "s.gz")
    buffer.add(PIECE, [json.dumps({"label": label}, ensure_ascii=False)])
    buffer.close()
    expected = label.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert read(buffer)[0]["label"] == expected
    buffer.discard()


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    """Also in the middle of writing, also twice, also after an error."""
    buffer = Buffer(tmp_path / "s.gz")
    buffer.add(PIECE, ['{"label":"France"}'])
    buffer.discard()
    buffer.discard()
    with pytest.raises(RuntimeError), Buffer(tmp_path / "t.gz"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_by_name_and_the_file_can_still_be_deleted(tmp_path: Path) -> None:
    """While rows are added, and when the last of them are written; on a device that is always full."""
    random_text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))  # noqa: S311 - no secret
    (tmp_path / "s.gz").symlink_to("/dev/full")
    full = Buffer(tmp_path / "s.gz")
    with pytest.raises(
        DiskFull, match=r"the disk of the temporary folder .* is full: free some of it, or name a larger"
    ):
        full.add(PIECE, [f'{{"label":"{random_text}"}}'])
    full.discard()
    (tmp_path / "s.gz").symlink_to("/dev/full")
    ending = Buffer(tmp_path / "s.gz")
    ending.add(PIECE, ['{"label":"France"}'])
    with pytest.raises(DiskFull):
        ending.close()
    ending.discard()
    assert list(tmp_path.iterdir()) == []
