"""The peak memory of whole syncs, each in a fresh process: of a hundred times the rows it must not be more."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Figure
from benchmarks.one_sync import SYNCS

# As many as a connector asks at once: with fewer, more work would also be more at the same time.
_SITES = 4
# Days of each site, with 500 rows each: 10,000, 100,000 and 1,000,000 rows.
_DAYS = (5, 50, 500)
_MB = 1e6


def memory() -> Iterator[Figure]:
    """Sync little and much into each kind of warehouse; the Matomo is a process of its own."""
    with _matomo() as (url, token):
        for into in SYNCS:
            yield from _of_warehouse(url, token, into)


def _of_warehouse(url: str, token: str, into: str) -> Iterator[Figure]:
    group = f"Memory: page reports of {_SITES} sites into {into}"
    runs = [_run(url, token, days, into) for days in _DAYS]
    yield Figure(group, "before the run, all imported", runs[0]["before"] / _MB, "MB")
    for run in runs:
        named = f"{run['rows']:,.0f} rows"
        yield Figure(group, f"{named}: peak", run["peak"] / _MB, "MB")
        yield Figure(group, f"{named}: time", run["seconds"], "s")
        if run["buffer"]:
            yield Figure(group, f"{named}: largest buffer on disk", run["buffer"] / _MB, "MB")
    for run in runs[:-1]:
        beside = f"peak of {runs[-1]['rows']:,.0f} rows beside that of {run['rows']:,.0f}"
        yield Figure(group, beside, runs[-1]["peak"] / run["peak"], "times")


def _run(url: str, token: str, days: int, into: str) -> dict[str, float]:
    module = ["-m", "benchmarks.one_sync", "--url", url, "--token", token, "--days", str(days), "--into", into]
    done = subprocess.run([sys.executable, *module], stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def _matomo() -> Iterator[tuple[str, str]]:
    """Start the Matomo that answers at once and give its address and token."""
    command = [sys.executable, "-m", "benchmarks.replay", "--sites", str(_SITES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        yield url, token
        process.communicate()
