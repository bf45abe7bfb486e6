"""The calendar of `status`: a month a line, in colour only where there is colour."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from datetime import date
from typing import TYPE_CHECKING

import pytest

from matomo_fn.app.cli import calendar as drawn
from matomo_fn.app.day_calendar import DAYS, STATES, Calendar
from matomo_fn.slices import Stream
from tests.app.cli.calling import call

if TYPE_CHECKING:
    from tests.support.shop import Shop

FIRST = date(2025, 11, 22)
RED, GREEN, GREY, RESET = "\x1b[31m", "\x1b[32m", "\x1b[90m", "\x1b[0m"


def calendar(**lines: str) -> Calendar:
    """Streams by table and site, such as ``visits_1``, with the codes of their last days."""
    streams = {Stream(name[:-2], name[-1]): line.rjust(DAYS, ".") for name, line in lines.items()}
    return Calendar(FIRST, streams)


def printed(capsys: pytest.CaptureFixture[str], what: Calendar, by: str = "all") -> list[str]:
    drawn.print_calendar(what, by)
    return capsys.readouterr().out.splitlines()


def test_a_month_is_a_line_and_a_day_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all tables and sites the gravest; below it what the signs mean, the gravest first."""
    found = printed(capsys, calendar(visits_1="wwwfwwpwue", countries_1="wwwwwwww", countries_2="mww"))
    assert found == [
        "",
        "all tables and sites",
        "2026-11  ...........###!##~?##",
        "",
        "! failed (1): It could not be fetched or written.",
        "? missing (1): No run has handled it.",
        "~ pending (1): Matomo had not processed it, or it is to be fetched again.",
        "# written (7): The table has what Matomo answered.",
    ]


def test_months_begin_with_the_first_day_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """The first of them with blanks for the days before the calendar's first."""
    found = printed(capsys, calendar(visits_1="w" * DAYS))
    assert found[2] == f"2025-11  {' ' * 21}#########"
    assert found[3] == f"2025-12  {'#' * 31}"
    assert found[14] == f"2026-11  {'#' * 21}"


@pytest.mark.parametrize(
    ("by", "titles"),
    [
        ("table", ["countries", "visits"]),
        ("site", ["site 1", "site 2"]),
        ("each", ["countries of site 1", "countries of site 2", "visits of site 1"]),
    ],
)
def test_there_is_one_for_each_table_or_site(capsys: pytest.CaptureFixture[str], by: str, titles: list[str]) -> None:
    found = printed(capsys, calendar(visits_1="w", countries_1="w", countries_2="w"), by)
    assert [line for line in found if line and not line.startswith(("20", "#"))] == titles


def test_each_state_has_a_sign_of_its_own() -> None:
    """A terminal without colour tells them apart too."""
    assert len({state.sign for state in STATES}) == len(STATES)


@pytest.mark.parametrize(
    ("is_terminal", "env", "is_coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_have_it(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], *, is_terminal: bool, is_coloured: bool
) -> None:
    """NO_COLOR counts where it is not empty: https://no-color.org."""
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    reader, writer = os.openpty() if is_terminal else os.pipe()
    with os.fdopen(reader, encoding="utf-8") as shown, os.fdopen(writer, "w", encoding="utf-8") as stream:
        with redirect_stdout(stream):
            assert drawn.has_colour() is is_coloured
            drawn.print_calendar(calendar(visits_1="fww"), "all")
        stream.flush()
        line = [shown.readline() for _ in range(3)][-1].rstrip("\r\n")
    assert line == (
        f"2026-11  {GREY}{'.' * 18}{RESET}{RED}!{RESET}{GREEN}##{RESET}" if is_coloured else f"2026-11  {'.' * 18}!##"
    )


def test_status_draws_it_and_can_leave_it_out(shop: Shop) -> None:
    """Four days were asked for, and the table has them."""
    assert call(shop.env, "sync", "shop").code == 0
    lines = call(shop.env, "status", "shop").out.splitlines()
    at = lines.index("all tables and sites")
    months = [line for line in lines[at + 1 :] if line[:2] == "20"]
    signs = "".join(line[9:] for line in months)
    assert signs.count("#") + signs.count("0") == 4
    assert "all tables and sites" not in call(shop.env, "status", "shop", "--calendar", "none").out
    assert "visitor_country" in call(shop.env, "status", "shop", "--calendar", "table").out.splitlines()
