"""Time and memory of reading the state and planning: 1,000 sites, the prebuilt tables, 730 days, in a fresh process."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from benchmarks.figures import Figure
from benchmarks.one_sync import peak_memory
from matomo_fn.catalogue import PREBUILT
from matomo_fn.config.connector import read_connector
from matomo_fn.sites import Site
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState

_SITES, _DAYS, _TRAILING = 1_000, 730, 3
_TODAY = date(2026, 11, 21)
_FIRST = _TODAY - timedelta(days=_DAYS)
_RECHECK = _TODAY - timedelta(days=_TRAILING)


def planning() -> Iterator[Figure]:
    """Measure in a process of its own, whose peak is that of planning alone."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.planning"], stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    group = f"Planning a daily run of {_SITES:,} sites x {len(PREBUILT)} tables x {_DAYS} days, all known"
    yield Figure(group, "slices that are known", found["known"], "slices")
    yield Figure(group, "slices that are due", found["due"], "slices")
    yield Figure(group, "time", found["seconds"], "s")
    yield Figure(group, "peak above what the imports take", found["memory"] / 1e6, "MB")


class _Answers:
    """A warehouse that answers the three queries of the state as BigQuery would, without keeping the answers."""

    dataset = "p.d"
    parallel = 1

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        if "as island" in statement:
            return [
                {
                    "table_name": table,
                    "website_id": str(site),
                    "segment": "",
                    "is_settled": True,
                    "first_day": _FIRST,
                    "last_day": _RECHECK - timedelta(days=1),
                }
                for site in range(_SITES)
                for table in PREBUILT
            ]
        if "is_intact" in statement:
            return [
                {
                    "table_name": table,
                    "website_id": str(site),
                    "segment": "",
                    "date": _RECHECK + timedelta(days=day),
                    "status": "written",
                    "row_count": 10,
                    "content_hash": f"{site:032x}{day:032x}",
                    "written_run_id": f"20261120T043000_{day:08x}",
                    "request_id": f"20261120T043000_{day:08x}",
                    "is_intact": True,
                    "is_final": False,
                    "has_others": False,
                    "visits_difference": None,
                    "error": None,
                    "found_keys": 10,
                }
                for site in range(_SITES)
                for table in PREBUILT
                for day in range(_TRAILING)
            ]
        return []


def main() -> None:
    """Plan once and print the figures as JSON."""
    connector = read_connector("c", json.dumps({"matomo_url": "https://m.example.com", "sites": "all"}))
    windows = [
        Window(Site(str(n), "", UTC, date(2020, 1, 1)), _FIRST, _TODAY - timedelta(days=1), _RECHECK)
        for n in range(_SITES)
    ]
    before = peak_memory()
    started = time.perf_counter()
    state = SyncState(_Answers(), connector)  # type: ignore[arg-type]  # what reads the state needs no more
    snapshot = state.read(PREBUILT, windows, incremental=True)
    plan = make_plan(Scope(PREBUILT, tuple(windows), (5, 2), ()), snapshot)
    seconds = time.perf_counter() - started
    assert plan.slices == _SITES * len(PREBUILT) * _TRAILING
    figures = {
        "known": _SITES * len(PREBUILT) * _DAYS,
        "due": plan.slices,
        "seconds": seconds,
        "memory": peak_memory() - before,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
