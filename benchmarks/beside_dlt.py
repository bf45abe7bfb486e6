"""A year of two sites beside dlt: the time of both processes, their calls, and what these cost Matomo by the model.

dlt is installed into an environment that is deleted afterwards. It makes the calls of its verified Matomo source
(`benchmarks.dlt_pipeline`), as far as that can bring tables of this program: not `Referrers.getAll`, which refuses
ranges. Rows are compared where both bring them: one of the program's tables may take rows of several reports.
"""

import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure
from benchmarks.tape import TapeProcess, tape
from benchmarks.wall import DAYS, SERVERS, sync_once
from matomo_fn.catalogue import PREBUILT

_DLT = "dlt[duckdb]==1.31.0"
_ROUNDS = 3
_SITES = ["1", "2"]
_TABLES = [name for name in PREBUILT if name != "referrers"]
# What every request of the program has. The source takes such parameters from its configuration, for each query.
_PARAMS = {"filter_limit": -1, "format_metrics": 0, "language": "en"}
_CASES: Mapping[str, bool] = {"reports": False, "reports and visits": True}


def beside_dlt() -> Iterator[Figure]:
    """Load each case from a fast and from a realistic server, by both."""
    with tempfile.TemporaryDirectory() as name, tape() as matomo:
        python = _install(Path(name))
        for case, visits in _CASES.items():
            for server in ("a server that answers at once", "a server as fast as the measured ones"):
                matomo.delay(0, 0)
                _ours(matomo, visits=visits)  # so that everything is on the tape
                _theirs(matomo, python, visits=visits)
                matomo.delay(*SERVERS[server])
                yield from _compare(matomo, python, f"dlt: {case}, {server}", visits=visits)


def _compare(matomo: TapeProcess, python: Path, group: str, *, visits: bool) -> Iterator[Figure]:
    ours, theirs = [], []
    costs: dict[str, list[dict[str, Any]]] = {}
    rows: Mapping[str, int] = {}
    for _ in range(_ROUNDS):
        matomo.forget()
        ours.append(_ours(matomo, visits=visits))
        costs["matomo-fn"] = matomo.requests()
        matomo.forget()
        seconds, rows = _theirs(matomo, python, visits=visits)
        theirs.append(seconds)
        costs["dlt"] = matomo.requests()
    yield Figure(group, "matomo-fn", median(ours), "s")
    yield Figure(group, "dlt", median(theirs), "s")
    yield Figure(
        group, "time beside dlt", median(one / other for one, other in zip(ours, theirs, strict=True)), "times"
    )
    for name, requests in costs.items():
        yield Figure(group, f"{name}: HTTP calls", len(requests), "calls")
        yield Figure(group, f"{name}: bytes", sum(each["bytes"] for each in requests) / 1e6, "MB")
    cost = {name: sum(each["seconds"] for each in requests) for name, requests in costs.items()}
    yield Figure(group, "CPU at Matomo by the model: matomo-fn", cost["matomo-fn"], "s")
    yield Figure(group, "CPU at Matomo by the model: dlt", cost["dlt"], "s")
    yield Figure(group, "CPU at Matomo beside dlt", cost["matomo-fn"] / cost["dlt"], "times")
    daily = sum(each["day_by_day"] for each in costs["matomo-fn"])
    if not visits:
        yield Figure(group, "CPU at Matomo beside one call a report and day", cost["matomo-fn"] / daily, "times")
    yield Figure(group, "dlt: rows, tables within rows left out", sum(_top_level(rows)), "rows")


def _top_level(rows: Mapping[str, int]) -> Iterator[int]:
    for table, count in rows.items():
        if "__" not in table and not table.startswith("_dlt"):
            yield count


def _ours(matomo: TapeProcess, *, visits: bool) -> float:
    with tempfile.TemporaryDirectory() as name:
        return sync_once(Path(name), matomo, {"reports": _TABLES, "sites": _SITES, "visits": visits})


def _theirs(matomo: TapeProcess, python: Path, *, visits: bool) -> tuple[float, Mapping[str, int]]:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    with tempfile.TemporaryDirectory() as name:
        order = {
            "url": matomo.url,
            "token": matomo.token,
            "sites": _SITES,
            "queries": _queries(),
            "first": str(yesterday - timedelta(days=DAYS - 1)),
            "last": str(yesterday),
            "days": DAYS,
            "visits": visits,
            "file": str(Path(name) / "dlt.duckdb"),
            "folder": name,
        }
        script = Path(__file__).with_name("dlt_pipeline.py")
        started = time.monotonic()
        done = subprocess.run(
            [str(python), str(script)], input=json.dumps(order), capture_output=True, check=False, text=True, cwd=name
        )
        seconds = time.monotonic() - started
        assert done.returncode == 0, done.stderr[-2000:]
        rows: Mapping[str, int] = json.loads(done.stdout.splitlines()[-1])
        return seconds, rows


def _queries() -> Sequence[Mapping[str, object]]:
    """Return the source's queries: reports with the same parameters share one, and so one bulk call for each site."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name in _TABLES:
        for source in PREBUILT[name].sources_of((5, 3)):
            methods = found.setdefault(source.params, [])
            if source.method not in methods:
                methods.append(source.method)
    return [{"methods": methods, "extra_params": _PARAMS | dict(params)} for params, methods in found.items()]


def _install(folder: Path) -> Path:
    """Return the interpreter of a new environment that has dlt."""
    venv.create(folder / "dlt", with_pip=True)
    python = folder / "dlt" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", _DLT], check=True, stdout=sys.stderr)
    return python
