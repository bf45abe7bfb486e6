"""A year of two sites, synced as its user does it, beside a bare client that fetches the very same answers.

The program is a process, from its start to its end, and writes to DuckDB. The bare client sends the requests that the
program sent, as many at once, and reads the answers without parsing them. They alternate; medians.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.bare import bare_seconds
from benchmarks.figures import Figure
from benchmarks.tape import TapeProcess, tape
from benchmarks.worlds import CONNECTOR, settings_for
from matomo_fn.catalogue import PREBUILT

DAYS = 365
_ROUNDS = 5
_CONCURRENCY = 4  # as a connector has it by default
_CASES: Mapping[str, Mapping[str, object]] = {"reports": {}, "reports and visits": {"visits": True}}
# Seconds of each call, and how many times the cost model's.
SERVERS: Mapping[str, tuple[float, float]] = {
    "a server that answers at once": (0.0, 0.0),
    "50 ms a call": (0.05, 0.0),
    "200 ms a call": (0.2, 0.0),
    "a server as fast as the measured ones": (0.03, 1.0),
}


def wall() -> Iterator[Figure]:
    """Sync each case from each server, beside the bare client."""
    with tape() as matomo:
        for case, config in _CASES.items():
            for _ in range(2):  # so that everything is on the tape
                _sync(matomo, config)
            for server, (latency, cost) in SERVERS.items():
                matomo.delay(latency, cost)
                yield from _beside(matomo, f"Wall: {case}, {server}", config)
            matomo.delay(0, 0)


def _beside(matomo: TapeProcess, group: str, config: Mapping[str, object]) -> Iterator[Figure]:
    ours, theirs, starts = [], [], []
    asked: Sequence[Mapping[str, str]] = ()
    for _ in range(_ROUNDS):
        matomo.forget()
        ours.append(_sync(matomo, config))
        asked = [request["params"] for request in matomo.requests()]
        theirs.append(bare_seconds(matomo.url, matomo.token, asked, _CONCURRENCY))
        starts.append(_timed([sys.executable, "-m", "matomo_fn", "--version"], {}))
    yield Figure(group, "HTTP calls", len(asked), "calls")
    yield Figure(group, "matomo-fn sync", median(ours), "s")
    yield Figure(group, "of it, about: starting (matomo-fn --version)", median(starts), "s")
    yield Figure(group, "the same answers, bare", median(theirs), "s")
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    yield Figure(group, "time beside the bare calls", median(ratios), "times")


def _sync(matomo: TapeProcess, config: Mapping[str, object]) -> float:
    """Return how long a first run takes, from the start of its process to its end."""
    with tempfile.TemporaryDirectory() as name:
        return sync_once(Path(name), matomo, config)


def sync_once(folder: Path, matomo: TapeProcess, config: Mapping[str, object]) -> float:
    """Sync a year of two sites into a DuckDB file of a folder, and return how long that takes."""
    values = {"sites": ["1", "2"], "reports": list(PREBUILT), "backfill_days": DAYS, "concurrency": _CONCURRENCY}
    settings = settings_for(folder, matomo.url, matomo.token, **values | dict(config))
    variables = {"MATOMO_FN_SECRETS": settings.secrets, "MATOMO_FN_WAREHOUSE": settings.warehouse}
    return _timed([sys.executable, "-m", "matomo_fn", "sync", CONNECTOR], variables)


def _timed(command: Sequence[str], variables: Mapping[str, str]) -> float:
    # As its user has it: with compiled modules on disk.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    done = subprocess.run(command, env=inherited | dict(variables), capture_output=True, check=False, text=True)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    return seconds
