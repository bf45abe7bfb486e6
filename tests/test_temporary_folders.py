"""Temporary folders: deleted by who made them, and by others only where that was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest

from matomo_fn.errors import DiskFull
from matomo_fn.temporary_folders import temporary_folder
from tests.support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Another process with a folder, until its standard input ends.
OTHER = """
import sys
from matomo_fn.temporary_folders import temporary_folder
with temporary_folder() as folder:
    (folder / "rows").write_text("rows")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, which has a folder."""
    command = [sys.executable, "-c", OTHER]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def test_a_folder_is_gone_afterwards_also_behind_an_error(parent: Path) -> None:
    def fail() -> None:
        with temporary_folder() as folder:
            (folder / "rows").write_text("rows")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(parent.iterdir()) == []


def test_the_folder_of_a_process_that_lives_stays(parent: Path, other: subprocess.Popen[str]) -> None:
    """Also where many come at once, each of which looks for what was left behind; the process deletes it itself."""
    failed = []

    def use() -> None:
        try:
            for _ in range(20):
                with temporary_folder() as folder:
                    (folder / "rows").write_text("rows")
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    (left,) = parent.iterdir()
    assert (left / "rows").read_text() == "rows"
    other.communicate()
    assert list(parent.iterdir()) == []


def test_the_folder_of_a_process_that_was_killed_is_deleted_and_nothing_else(
    parent: Path, other: subprocess.Popen[str]
) -> None:
    """Not a file, a link or a folder of another name, whoever made them."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    (left,) = parent.iterdir()
    (parent / "elsewhere").mkdir()
    (parent / "elsewhere" / "file").write_text("x")
    (parent / "matomo_fn_rows_link").symlink_to(parent / "elsewhere")
    (parent / "matomo_fn_rows_file").write_text("x")
    with temporary_folder() as folder:
        assert not left.exists()
        kept = {path.name for path in parent.iterdir()} - {folder.name}
    assert kept == {"elsewhere", "matomo_fn_rows_link", "matomo_fn_rows_file"}
    assert (parent / "elsewhere" / "file").exists()


def test_where_no_folder_can_be_made_there_is_a_sentence(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(parent / "missing"))
    with (
        pytest.raises(DiskFull, match=r"no temporary folder can be created \(No such file or directory\)"),
        temporary_folder(),
    ):
        pass
