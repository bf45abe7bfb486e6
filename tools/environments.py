"""Make the virtual environments of programs that the tests run, and that do not fit beside what is installed already.

checkov and dbt pin other versions of what the project uses. Each environment lies in the cache folder of
``tools/go_programs.py`` under the hash of its pins, so that a second call costs nothing. Made by uv in 5 to 20 s each.

Run it by ``make programs``.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from tools.go_programs import cache, say

ROOT = Path(__file__).resolve().parents[1]
PINS = {"checkov": ROOT / "requirements-checkov.txt", "dbt": ROOT / "requirements-dbt.txt"}
_UV = Path(sys.prefix) / "bin" / "uv"
# Is written last, so that what was interrupted is made once more.
_COMPLETE = "complete"


def environment(name: str) -> Path:
    """Return the folder of an environment; raise FileNotFoundError, which says what to do, where it was not made."""
    home = _home(name)
    if not (home / _COMPLETE).exists():
        raise FileNotFoundError(f"the environment of {name} was not made: run `make programs`")
    return home


def ensure(name: str) -> Path:
    """Return the folder of an environment, which is made where it is not there."""
    home = _home(name)
    home.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: a second caller waits for the first one's.
    with (home.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / _COMPLETE).exists():
            say(f"installing {name} into {home} (once)")
            subprocess.run([_UV, "venv", "--quiet", "--clear", "--python", sys.executable, home], check=True)
            into: list[str | Path] = ["--python", home / "bin" / "python", PINS[name]]
            subprocess.run([_UV, "pip", "sync", "--quiet", "--compile-bytecode", *into], check=True)
            (home / _COMPLETE).touch()
    return home


def _home(name: str) -> Path:
    return cache() / f"{name}-{hashlib.sha256(PINS[name].read_bytes()).hexdigest()[:16]}"


def main() -> int:
    """Print the folders of all environments, after they were made where they were not there."""
    for name in PINS:
        print(ensure(name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
