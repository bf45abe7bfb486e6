"""Draw the pictures of the README: the flow of a run, the demo in a terminal, and a chart of the demo's data.

Run it by ``make pictures``. The demo's days end yesterday and its seconds vary, so each run gives other numbers; what
the pictures name is compared with the program by ``tests/program/test_documents.py``.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path

import duckdb
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
DAYS = 90
# What the demo prints at its end, for pasting: of no use in a picture.
FAREWELL = "Look at the data:"

_FONT = "font-family='system-ui, sans-serif'"
_INK, _GREY, _PALE = "#1f2328", "#59636e", "#d1d9e0"
_BLUE, _ORANGE = "#0969da", "#bc4c00"  # told apart by people with any colour vision, and by lightness
# rich's own font is on a server that GitHub does not load from, and so would nobody else's page.
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def run_demo(folder: Path) -> str:
    """Run ``matomo-fn demo`` in a folder and return what it prints on a terminal of 80 columns."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["matomo-fn", "demo", "--days", str(DAYS)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def terminal(output: str) -> str:
    """Return the picture of a terminal in which the demo has run."""
    shown = output.partition(f"\n{FAREWELL}")[0]
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(Text.from_ansi(f"$ matomo-fn demo --days {DAYS}\n{shown}"))
    picture = console.export_svg(title="matomo-fn demo", theme=MONOKAI, unique_id="demo")
    return "\n".join(line.rstrip() for line in _FONT_FACE.sub("", picture).splitlines()) + "\n"


def visits_by_day(warehouse: Path) -> dict[str, list[tuple[date, int]]]:
    """Return the visits of each day, by site."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select website_id, date, nb_visits from matomo_demo.visits_summary order by website_id, date"
        ).fetchall()
    found: dict[str, list[tuple[date, int]]] = {}
    for site, day, visits in rows:
        found.setdefault(site, []).append((day, visits))
    return found


def chart(visits: Mapping[str, Sequence[tuple[date, int]]]) -> str:
    """Return a line for each site over its days."""
    left, top, width, height = 44, 40, 690, 220
    days = sorted({day for points in visits.values() for day, _ in points})
    highest = max(count for points in visits.values() for _, count in points)
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, 1000) if highest <= 5 * step)
    steps = -(-highest // step)

    def x(day: date) -> float:
        return left + width * (day - days[0]).days / max(1, (days[-1] - days[0]).days)

    def y(count: int) -> float:
        return top + height * (1 - count / (steps * step))

    parts = [_text(left, 20, "Visits by day", size=15, weight="600")]
    for count in range(0, steps * step + 1, step):
        parts.append(_line(left, y(count), left + width, y(count), _PALE))
        parts.append(_text(left - 8, y(count) + 4, str(count), anchor="end", color=_GREY))
    for day in days:
        if day.day == 1:
            parts.append(_line(x(day), top + height, x(day), top + height + 5, _GREY))
            parts.append(_text(x(day), top + height + 20, f"{day:%Y-%m-%d}", anchor="middle", color=_GREY))
    for color, (site, points) in zip((_BLUE, _ORANGE), visits.items(), strict=True):
        path = " ".join(f"{x(day):.1f},{y(count):.1f}" for day, count in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2'/>")
        day, count = points[-1]
        parts.append(_text(x(day) + 6, y(count) + 4, f"site {site}", color=color, weight="600"))
    return _picture(800, 290, "Visits by day of the two sites of the demo", parts)


def flow() -> str:
    """Return the way of the data from Matomo to the tables."""
    parts = [
        _box(20, 96, 150, "Matomo", ("reports", "visits log")),
        _box(590, 96, 190, "BigQuery or DuckDB", ("tables by day", "visits with their actions")),
        _box(590, 226, 190, "_sync_log", ("what became", "of each day")),
        f"<rect x='230' y='58' width='300' height='240' rx='10' fill='none' stroke='{_BLUE}' stroke-width='2'/>",
        _text(380, 82, "matomo-fn", anchor="middle", size=15, weight="600", color=_BLUE),
    ]
    steps = (
        "1. plan which days are due",
        "2. fetch them, newest first",
        "3. check that empty days are empty",
        "4. compare with what is there",
        "5. replace the days that differ",
        "6. log what became of each day",
    )
    parts += [_text(254, 114 + 31 * index, step) for index, step in enumerate(steps)]
    parts += [
        _text(380, 22, "Cloud Scheduler  ·  Pub/Sub  ·  HTTP  ·  command line", anchor="middle", color=_GREY),
        _arrow(380, 30, 380, 56),
        _arrow(170, 136, 228, 136),
        _arrow(530, 136, 588, 136),
        _arrow(530, 252, 588, 252),
        _arrow(588, 278, 532, 278),
        _text(560, 244, "log", anchor="middle", color=_GREY, size=11),
        _text(560, 294, "plan", anchor="middle", color=_GREY, size=11),
    ]
    return _picture(800, 310, "From Matomo through matomo-fn into BigQuery or DuckDB", parts)


def _picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' role='img'>",
        f"<title>{escape(title)}</title>",
        "<defs><marker id='end' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        f"<path d='M0,0 L8,4 L0,8 z' fill='{_GREY}'/></marker></defs>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",  # also on a dark page
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _box(x: float, y: float, width: float, title: str, lines: Sequence[str]) -> str:
    return "\n".join(
        [
            f"<rect x='{x}' y='{y}' width='{width}' height='80' rx='8' fill='#f6f8fa' stroke='{_GREY}'/>",
            _text(x + width / 2, y + 25, title, anchor="middle", size=14, weight="600"),
            *(
                _text(x + width / 2, y + 46 + 18 * index, line, anchor="middle", color=_GREY)
                for index, line in enumerate(lines)
            ),
        ]
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{_GREY}' stroke-width='1.5' marker-end='url(#end)'/>"


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{color}'/>"


def _text(  # noqa: PLR0913 -- each one is an attribute of SVG's element
    x: float, y: float, text: str, *, anchor: str = "start", color: str = _INK, size: int = 12, weight: str = "400"
) -> str:
    style = f"{_FONT} font-size='{size}' font-weight='{weight}' fill='{color}' text-anchor='{anchor}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"


def main() -> int:
    """Draw the pictures and say so."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = run_demo(folder)
        visits = visits_by_day(folder / "matomo-demo" / "matomo.duckdb")
    FOLDER.mkdir(exist_ok=True)
    for file, picture in (("flow", flow()), ("demo", terminal(output)), ("visits", chart(visits))):
        (FOLDER / f"{file}.svg").write_text(picture, encoding="utf-8")
        print(f"written: docs/pictures/{file}.svg, {len(picture) // 1024} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
