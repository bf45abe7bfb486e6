"""What is printed: nothing that a terminal would obey, and no token."""

from __future__ import annotations

import json

import pytest

from matomo_fn.app.cli.output import counted, print_errors, print_json, print_rows, print_table, say
from matomo_fn.redaction import protect
from tests.support.canary import CANARY, assert_absent

OBEYED = "\x1b[2J\x00\x07\r\n\x7f\x9b\u2028\u202e"
ESCAPED = "\\x1b[2J\\x00\\x07\\r\\n\\x7f\\x9b\\u2028\\u202e"


@pytest.mark.parametrize("print_them", [print_table, print_rows])
def test_a_table_keeps_its_lines_whatever_stands_in_its_cells(
    print_them: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """A label comes from any visitor of the site: it is one cell of one line, and turns nothing around."""
    assert callable(print_them)
    print_them(("label", "n"), [(f"a{OBEYED}b", 1), ("c", 22)])
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4
    assert lines[1].startswith(f"a{ESCAPED}"[:30])
    assert len(lines[1]) == len(lines[2])


def test_sentences_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """An error's text does not write a second line that looks like the program's own."""
    print_errors([f"site 1: a{OBEYED}"])
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: site 1: a{ESCAPED}\n")


def test_a_number_goes_with_its_noun() -> None:
    """One call, and none or several calls."""
    assert [counted(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]


def test_nothing_printed_has_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables, sentences and JSON, also where a version or a site's name repeats it."""
    protect(CANARY)
    print_table(("a", "b"), [(CANARY, f"x{CANARY}")])
    print_rows(("a",), [(CANARY,)])
    print_errors([CANARY])
    say(CANARY)
    print_json({CANARY: [CANARY]})
    out, err = capsys.readouterr()
    assert_absent(out=out, err=err)
    assert json.loads(out[out.index("{") :]) == {"***": ["***"]}
