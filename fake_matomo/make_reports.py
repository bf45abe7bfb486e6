"""Make `reports.json`, the metadata and rows of every report, from recordings of a real Matomo.

    python -m fake_matomo.make_reports FOLDER

FOLDER holds one JSON file an exchange: `meta_API.getReportMetadata_site1.json` has the metadata of every
report of a site with a shop, two goals and two custom dimensions; `day_METHOD[_PARAMETER-VALUE].json` one
day of each report by the defaults; `flat_METHOD.json` the same with `flat=1`, for some. The tests make the file
again from the project's copies and compare.

Each line of `reports.json` is one report:

- `metadata`: its entry in `API.getReportMetadata`. URLs of graphs are null: they depend on the token and the date.
- `row`: the fields of a row in Matomo's order, each with the JSON types seen and whether every row has it.
- `flat`: the same with `flat=1`, where that was recorded.
- `values`: the recorded values of the dimension: the row without its metrics, and its visits as `weight`.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TARGET = Path(__file__).with_name("reports.json")

Row = Mapping[str, object]

_GRAPHS = ("imageGraphUrl", "imageGraphEvolutionUrl")
_METRIC = re.compile(
    r"(sum_|sum_daily_)?(nb|min|max|avg|entry|exit|bounce|conversion|revenue|sum|visits|actions|pageviews)_.*"
    r"|goals|revenue|items|orders|quantity"
)
# Ids that differ between archives.
_NOT_KEPT = frozenset({"idsubdatatable", "idvisitor"})
# The maximum number of values kept of a report.
_VALUES = 25


def made(folder: Path) -> str:
    """Return the text of `reports.json`."""
    reports = _answer(folder / "meta_API.getReportMetadata_site1.json")
    return "[\n" + ",\n".join(_line(folder, report) for report in reports) + "\n]\n"


def _line(folder: Path, report: Row) -> str:
    method = f"{report['module']}.{report['action']}"
    parameters = report.get("parameters")
    name = method
    if isinstance(parameters, dict):
        name += "".join(f"_{key}-{value}" for key, value in parameters.items())
    rows = _answer(folder / f"day_{name}.json")
    flat = folder / f"flat_{method}.json"
    entry = {
        "metadata": {key: None if key in _GRAPHS else value for key, value in report.items()},
        "row": _shape(rows),
        "flat": _shape(_answer(flat)) if flat.exists() and _is_request_of(flat, parameters) else [],
        "values": [_value(row) for row in rows[:_VALUES] if "label" in row],
    }
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def _is_request_of(path: Path, parameters: object) -> bool:
    """Whether the request was recorded with the report's parameters."""
    params = json.loads(path.read_text("utf-8"))["request"]["params"]
    wanted = parameters if isinstance(parameters, dict) else {}
    return all(str(params.get(key)) == str(value) for key, value in wanted.items())


def _answer(path: Path) -> Sequence[Row]:
    answer = json.loads(json.loads(path.read_text("utf-8"))["body"])
    return answer if isinstance(answer, list) else [answer]


def _shape(rows: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Return name, types and "in every row" of each field, in the order of the longest rows."""
    names: list[str] = []
    for row in sorted(rows, key=len, reverse=True):
        names += [name for name in row if name not in names]
    return [
        (name, "/".join(sorted({_type(row[name]) for row in rows if name in row})), all(name in row for row in rows))
        for name in names
    ]


def _type(value: object) -> str:
    return {int: "int", float: "float", str: "str", dict: "object"}.get(type(value), "null")


def _value(row: Row) -> dict[str, object]:
    kept = {key: value for key, value in row.items() if not _METRIC.fullmatch(key) and key not in _NOT_KEPT}
    counts = (row[key] for key in ("nb_visits", "nb_conversions", "quantity") if key in row)
    return {**kept, "weight": int(str(next(counts, 1)))}


def main() -> None:
    """Write the file."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fake_matomo.make_reports FOLDER")
    TARGET.write_text(made(Path(sys.argv[1])), "utf-8")


if __name__ == "__main__":
    main()
