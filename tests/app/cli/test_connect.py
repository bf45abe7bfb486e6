"""`connect` writes a connector's two files, and shows the token to nobody."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.app.cli.calling import COMMAND, Called, call, checked, environment
from tests.support.canary import CANARY
from tests.support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://matomo.example.com"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the folder: what is written without a path is written there."""
    monkeypatch.chdir(tmp_path)


def connect(*arguments: str, token: str = CANARY) -> Called:
    return call({}, "connect", *arguments, given=token)


def connect_as_program(folder: Path, *arguments: str, token: str) -> Called:
    """The same by a program of its own."""
    done = subprocess.run(
        [*COMMAND, "connect", *arguments],
        cwd=folder,
        env=environment({"PYTHONPATH": str(ROOT)}),
        input=token,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked(Called(done.returncode, done.stdout, done.stderr))


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """A folder that git ignores, the configuration, and the token as it was given."""
    called = connect_as_program(tmp_path, "shop", "--url", URL, "--site", "1", "--site", "2", token=f"{CANARY}\n")
    assert (called.code, called.err) == (0, "")
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    config, token = folder / "matomo-shop-config", folder / "matomo-shop-token"
    assert (config.stat().st_mode & 0o777, token.stat().st_mode & 0o777) == (0o600, 0o600)
    assert (config.read_text().split(), token.read_text()) == (
        ["{", '"matomo_url":', f'"{URL}",', '"sites":', "[", '"1",', '"2"', "]", "}"],
        f"{CANARY}\n",
    )
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    status = subprocess.run(
        ["git", "-C", tmp_path, "status", "--porcelain", "--untracked-files=all"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert status.stdout == ""


def test_a_terminal_shows_nothing_of_the_token(tmp_path: Path) -> None:
    """What is typed at the prompt is not echoed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "connect", "shop", "--url", URL],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(ROOT), "TERM": "xterm"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"Token" not in shown:
            shown += os.read(ours, 4096)
        # After the prompt, when the echo is off: getpass discards what was typed before.
        while b": " not in shown.partition(b"Token")[2]:
            shown += os.read(ours, 4096)
        os.write(ours, f"{CANARY}\n".encode())
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # Linux says so when the last program has closed it
            pass
        os.close(ours)
    assert process.returncode == 0
    assert CANARY.encode() not in shown
    assert (tmp_path / "secrets" / "matomo-shop-token").read_text() == f"{CANARY}\n"


@pytest.mark.parametrize(
    ("arguments", "token", "sentence"),
    [
        (
            ("Shop", "--url", URL),
            CANARY,
            "request: connector: 'Shop' is not a connector name: lower-case letters, digits and hyphens",
        ),
        (
            ("shop", "--url", "matomo"),
            CANARY,
            "configuration of connector 'shop': matomo_url: 'matomo' is not a URL such as https://matomo.example.com",
        ),
        (
            ("shop", "--url", URL, "--site", "one"),
            CANARY,
            "configuration of connector 'shop': sites: 'one' is not a site id, which is a whole number such as 1, nor "
            'a pattern such as {"name": "Shop *"}',
        ),
        (("shop", "--url", URL), "", "the secret matomo-shop-token is empty: put the Matomo token into it"),
        (
            ("shop", "--url", URL),
            "a\nb",
            "the secret matomo-shop-token has more than one line: it has to be the token alone",
        ),
    ],
)
def test_what_cannot_work_is_not_written(arguments: tuple[str, ...], token: str, sentence: str, tmp_path: Path) -> None:
    """The same rules as of a sync, before there is a file."""
    called = connect(*arguments, token=token)
    assert (called.code, called.out, called.errors) == (2, "", [sentence])
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    """A token that works is not lost to a slip."""
    assert connect("shop", "--url", URL).code == 0
    again = connect("shop", "--url", "https://other.example.com", token="another")
    assert (again.code, again.errors) == (
        2,
        [
            "secrets/matomo-shop-config is there already: edit it, or delete it first",
            "secrets/matomo-shop-token is there already: edit it, or delete it first",
        ],
    )
    assert (tmp_path / "secrets" / "matomo-shop-token").read_text() == f"{CANARY}\n"


def test_a_folder_that_is_there_gets_no_gitignore(tmp_path: Path) -> None:
    """It may be somebody's repository."""
    assert connect("shop", "--url", URL, "--folder", ".").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matomo-shop-config", "matomo-shop-token"]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("mine")
    called = connect("shop", "--url", URL, "--folder", "file/secrets")
    assert (called.code, called.errors) == (
        2,
        ["file/secrets cannot be written to: Not a directory: name another folder by --folder"],
    )
