"""What a benchmark found, and how it is shown."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: ``what`` was measured, of which ``group``."""

    group: str
    what: str
    value: float
    unit: str

    def as_dict(self) -> dict[str, object]:
        """Return the figure as JSON has it."""
        return asdict(self) | {"value": round(self.value, 3)}


def table_of(figures: Iterable[Figure]) -> str:
    """Return the figures as a table for a terminal, a heading over each group."""
    lines: list[str] = []
    for group, members in groupby(figures, key=lambda figure: figure.group):
        lines += ["", group, "-" * len(group)]
        lines += [f"{figure.what:<62}{_shown(figure.value):>13}  {figure.unit}" for figure in members]
    return "\n".join(lines[1:])


def _shown(value: float) -> str:
    """Return a count as it is and anything else with three digits that mean something."""
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
