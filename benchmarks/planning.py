"""Time and memory of reading the state and planning: 1,000 sites, 20 tables, 730 days, in a fresh process."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, timedelta
from typing import Any

from benchmarks.figures import Figure
from benchmarks.one_sync import peak_memory
from matomo_fn.catalogue import EXTENDED, Catalogue
from matomo_fn.config.connector import read_connector
from matomo_fn.sites import Site
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState

_SITES, _DAYS, _TRAILING = 1_000, 730, 3
_TABLES = Catalogue(list(EXTENDED.values())[:20])
_TODAY = date(2026, 11, 21)
_FIRST = _TODAY - timedelta(days=_DAYS)
_RECHECK = _TODAY - timedelta(days=_TRAILING)


def planning() -> Iterator[Figure]:
    """Measure each in a process of its own, whose peak is that of planning alone."""
    what = f"of {_SITES:,} sites x {len(_TABLES)} tables x {_DAYS} days"
    yield from _figures(f"Planning a daily run {what}, all known", _SITES)
    yield from _figures(f"Planning the run behind a backfill {what}, which was cut off after the first site", 1)


def _figures(group: str, known_sites: int) -> Iterator[Figure]:
    module = [sys.executable, "-m", "benchmarks.planning", str(known_sites)]
    done = subprocess.run(module, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    yield Figure(group, "slices that are known", found["known"], "slices")
    yield Figure(group, "slices that are due", found["due"], "slices")
    yield Figure(group, "CPU time", found["seconds"], "s")
    yield Figure(group, "peak above what the imports take", found["memory"] / 1e6, "MB")


class _Answers:
    """A warehouse that answers the queries of the state as BigQuery would, whose rows come in pages."""

    dataset = "p.d"
    parallel = 1

    def __init__(self, sites: int) -> None:
        self._sites = sites  # of which something is known

    def query(self, _statement: str) -> list[Mapping[str, Any]]:
        return []  # no old day is open

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        if "as island" in statement:
            return (
                {
                    "table_name": table,
                    "website_id": str(site),
                    "segment": "",
                    "is_settled": True,
                    "first_day": _FIRST,
                    "last_day": _RECHECK - timedelta(days=1),
                }
                for site in range(self._sites)
                for table in _TABLES
            )
        if "is_intact" in statement:
            return (
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
                    "is_open": False,
                    "has_others": False,
                    "visits_difference": None,
                    "error": None,
                    "found_keys": 10,
                }
                for site in range(self._sites)
                for table in _TABLES
                for day in range(_TRAILING)
            )
        return iter(())


def main() -> None:
    """Plan once, with as many sites known as the argument says, and print the figures as JSON."""
    known = int(sys.argv[1])
    connector = read_connector("c", json.dumps({"matomo_url": "https://m.example.com", "sites": "all"}))
    windows = [
        Window(Site(str(n), "", UTC, date(2020, 1, 1)), _FIRST, _TODAY - timedelta(days=1), _RECHECK)
        for n in range(_SITES)
    ]
    before = peak_memory()
    started = time.process_time()
    state = SyncState(_Answers(known), connector)  # type: ignore[arg-type]  # what reads the state needs no more
    snapshot = state.read(_TABLES, windows, incremental=True)
    plan = make_plan(Scope(_TABLES, tuple(windows), (5, 2), ()), snapshot)
    seconds = time.process_time() - started
    missing = (_SITES - known) * _DAYS
    assert plan.slices == (known * _TRAILING + missing) * len(_TABLES)
    assert len(plan.known) == known * len(_TABLES) * _TRAILING
    figures = {
        "known": known * len(_TABLES) * _DAYS,
        "due": plan.slices,
        "seconds": seconds,
        "memory": peak_memory() - before,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
