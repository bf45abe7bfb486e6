"""What a start takes: of the function, of its first request, of the command line; and what is installed for it.

Each is a fresh process, in CPU seconds, its modules compiled before. The function's are measured with nothing but its
own requirements.txt, installed into a fresh folder.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figure

_ROOT = Path(__file__).resolve().parent.parent
_ROUNDS = 9
_CLIENTS = "matomo_fn.config.secret_manager, matomo_fn.warehouse.bigquery"
_FUNCTION = {
    "Python alone": "pass",
    "the framework alone": "import flask, functions_framework, cloudevents.http",
    "import main": "import main",
    "import main and what a request to sync needs": "import main, matomo_fn.app.handlers",
    "the same, with BigQuery and Secret Manager": f"import main, matomo_fn.app.handlers, {_CLIENTS}",
    "import main and what a request to collect needs": "import main, matomo_fn.app.collect",
    "the same, with Pub/Sub and Secret Manager": (
        "import main, matomo_fn.app.collect, matomo_fn.config.secret_manager, matomo_fn.events.pubsub"
    ),
}
_COMMAND = "import sys; sys.argv = ['matomo-fn', {}]; from matomo_fn.__main__ import main; main()"
_COMMANDS = {
    "Python alone": "pass",
    "matomo-fn --version": _COMMAND.format("'--version'"),
    "matomo-fn --help": _COMMAND.format("'--help'"),
    "matomo-fn sync --help": _COMMAND.format("'sync', '--help'"),
    "the same, with DuckDB and sqlglot": (
        "from matomo_fn.app.cli.group import find_command; find_command('sync'); import matomo_fn.warehouse.duckdb"
    ),
}


def start() -> Iterator[Figure]:
    """Measure the function's start in a fresh installation, and the command line's in this one."""
    with tempfile.TemporaryDirectory() as folder:
        python = _installed(Path(folder))
        group = "Installed for the function, without compiled modules"
        yield from _sizes(group, python.parent.parent / "lib")
        yield from _times("Start of the function, CPU", python, _FUNCTION)
    yield from _times("Start of the command line, CPU", Path(sys.executable), _COMMANDS)


def _installed(folder: Path) -> Path:
    """Install the function's requirements and return their Python."""
    python = folder / "environment" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, python.parent.parent], check=True)
    install: Sequence[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, "-r", "requirements.txt"]
    subprocess.run(install, check=True, cwd=_ROOT)
    return python


def _sizes(group: str, lib: Path) -> Iterator[Figure]:
    sizes: dict[str, int] = {}
    (packages,) = lib.glob("python*/site-packages")
    for path in packages.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            name = path.relative_to(packages).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    yield Figure(group, "all packages", sum(sizes.values()) / 1e6, "MB")
    for name in sorted(sizes, key=lambda name: -sizes[name])[:5]:
        yield Figure(group, name, sizes[name] / 1e6, "MB")


def _times(group: str, python: Path, cases: Mapping[str, str]) -> Iterator[Figure]:
    """Run the cases one after the other, round by round, so that a busy machine is as busy for each of them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(_ROUNDS + 1):
        for name, code in cases.items():
            before = _cpu()
            subprocess.run([python, "-c", code], check=True, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
            if round_:  # the first one compiles
                seconds[name].append(_cpu() - before)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, median in medians.items():
        yield Figure(group, name, median, "s")
    first, *_ = medians.values()
    for name, median in list(medians.items())[1:]:
        yield Figure(group, f"{name}, beside Python alone", median / first, "times")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
