"""Words that were replaced by the field's terms do not come back into the code and the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The word, as a pattern of whole words, and what stands in its place.
REPLACED = {
    r"anew": "again, or another verb",
    r"ask(?:s|ed|ing)? again": "refetch, retry",
    r"crews?": "worker pool",
    r"evidence|doubts": "archive check",
    r"ledgers?": "state, log",
    r"lest": "so that … not",
    r"mend(?:s|ed|ing)?": "fix",
    r"spool(?:s|ed|ing)?": "buffer",
    r"who(?:m)?ever": "the one who, or the plural",
}
# What people read. Not the tests: a word there confuses nobody who uses the program.
PATTERNS = (
    "*.md",
    "Makefile",
    "main.py",
    "benchmarks/*.py",
    "docs/*.md",
    "fake_matomo/**/*.py",
    "matomo_fn/**/*.py",
    "terraform/**/*.tf",
    "tools/*.py",
)
FILES = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern) if ".terraform" not in path.parts})


def test_every_kind_of_file_is_read() -> None:
    """No pattern is out of date."""
    for pattern in PATTERNS:
        assert any(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize(("word", "instead"), REPLACED.items())
def test_a_replaced_word_is_in_no_code_and_no_document(word: str, instead: str) -> None:
    """The message has each place, and what to write there."""
    pattern = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"write {instead}:\n" + "\n".join(found)
