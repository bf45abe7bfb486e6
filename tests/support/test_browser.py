"""The browser of the tests: where it is taken from, and what is said where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import browser as browsers
from tools import browser

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing in PATH and nothing in the cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(folder: Path, name: str, text: str = "") -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_browser_in_path_is_used(bare: Path) -> None:
    installed = program(bare, "chromium")
    assert browser.ensure() == browser.path() == installed


def test_what_was_unpacked_is_used_without_npm(bare: Path) -> None:
    browser.unpacked().mkdir(parents=True)
    kept = browser.unpacked() / "chromium"
    kept.touch()
    assert browser.ensure() == kept
    assert kept.is_relative_to(bare)


@pytest.mark.usefixtures("bare")
def test_without_any_the_one_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """By `make programs`, and by a test that is run without it."""
    assert browser.main() == 1
    assert browser.COMMAND in capsys.readouterr().err
    with pytest.raises(pytest.fail.Exception, match=browser.COMMAND), browsers.started():
        pass


@pytest.mark.parametrize("script", ["exit 1", "echo other > package.tgz"])
def test_a_package_that_is_not_the_pinned_one_leaves_nothing(
    bare: Path, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    """An npm that fails, and one that brings other bytes."""
    program(bare, "npm", script)
    assert browser.main() == 1
    assert browser.COMMAND in capsys.readouterr().err
    assert [path.name for path in (bare / "cache" / "matomo-fn").iterdir()] == ["browser.lock"]
