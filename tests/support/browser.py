"""A headless Chromium that reaches nothing: pages come from files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tools import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserType

_OPTIONS = (
    "--no-sandbox",  # root, and containers, have none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # also what it would look up by itself
)


@contextmanager
def started() -> Iterator[Browser]:
    """Start the browser until the block ends; fail, with what installs one, where there is none."""
    with sync_playwright() as playwright, launched(playwright.chromium) as running:
        yield running


@contextmanager
def launched(kind: BrowserType, language: str = "C.UTF-8") -> Iterator[Browser]:
    """Start a browser in a session of Playwright that has begun, of which a thread has one."""
    program = browser.path()
    if program is None:
        pytest.fail(f"there is no browser; run: make programs, or {browser.COMMAND}", pytrace=False)
    running = kind.launch(executable_path=program, args=list(_OPTIONS), env={**browser.environment(), "LANG": language})
    try:
        yield running
    finally:
        running.close()
