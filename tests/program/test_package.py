"""The package: a wheel of the two packages, installed into an environment that has what it names and nothing else."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import matomo_fn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
NOT_FOR_THE_PROGRAM = {"functions-framework", "flask", "gunicorn"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the backend that pyproject.toml names, in the version that is pinned for development."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements_of(wheel: Path) -> list[str]:
    return metadata(wheel).get_all("Requires-Dist") or []


def needed(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements bring here, with all that these need in turn."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        for each in map(Requirement, importlib.metadata.requires(name) or []):
            applies = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            if applies and (each.extras or canonicalize_name(each.name) not in found):
                waiting.append(each)
        found.add(name)
    return found


class Installed:
    """A virtual environment with the wheel, and by link the packages that it names."""

    def __init__(self, folder: Path, wheel: Path, packages: set[str]) -> None:
        self.bin = folder / "environment" / "bin"
        uv = Path(sys.prefix) / "bin" / "uv"
        python = self.bin / "python"
        subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, self.bin.parent], check=True)
        install: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--offline",
            "--no-deps",
            "--no-index",
            "--python",
            python,
            wheel,
        ]
        subprocess.run(install, check=True)
        (site,) = (self.bin.parent / "lib").glob("python*/site-packages")
        for package in packages:
            for file in importlib.metadata.files(package) or []:
                top = file.parts[0]
                if top not in ("..", "__pycache__") and not (site / top).exists():
                    (site / top).symlink_to(SITE_PACKAGES / top)

    def run(self, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in a folder, with none of the variables of this process."""
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(folder)}
        return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    packages = needed(requirements_of(wheel))
    return Installed(tmp_path_factory.mktemp("installed"), wheel, packages)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's folder, with files whose names are also those of modules."""
    for name in ("fake_matomo.py", "json.py", "random.py"):
        (tmp_path / name).write_text("raise SystemExit('this is not the module that was meant')\n")
    return tmp_path


def test_the_wheel_has_the_two_packages_and_nothing_else(names: list[str]) -> None:
    """Every file of them, data included; neither the tests nor what only the function needs."""
    packages = ("matomo_fn", "fake_matomo")
    files = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = {name for name in names if ".dist-info/" in name}
    assert set(names) - info == files
    assert {Path(name).name for name in info} == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "LICENSE"}


def test_the_dependencies_are_those_of_the_files(wheel: Path) -> None:
    """Each is written once; the function's own are none of the program's."""
    written = [
        line
        for name in ("requirements.in", "requirements-cli.in")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert sorted(requirements_of(wheel)) == sorted(written)
    assert metadata(wheel)["Version"] == matomo_fn.__version__
    assert not needed(written) & NOT_FOR_THE_PROGRAM


def test_the_function_is_deployed_without_what_the_command_line_needs() -> None:
    """DuckDB alone would add 68 MB to it."""
    deployed = {
        line.partition("==")[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if re.match(r"[a-z]", line)
    }
    assert {"functions-framework", "google-cloud-bigquery"} <= deployed
    assert not deployed & {"duckdb", "pytz", "pyyaml", "sqlglot"}


@pytest.mark.parametrize("name", ["", "-dev", "-dbt", "-checkov"])
def test_each_requirement_is_one_version_with_the_hashes_of_its_files(name: str) -> None:
    """So pip and uv install no other bytes than those that were tested, whoever may change a file at the index."""
    text = (ROOT / f"requirements{name}.txt").read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(requirements) > 30
    for line in requirements:
        assert re.match(r"[a-z0-9.-]+(\[[a-z0-9,]+\])?==\S+ (; .*? )? *--hash=sha256:[0-9a-f]{64}( |$)", line), line


@pytest.mark.parametrize("command", [("matomo-fn",), ("python", "-P", "-m", "matomo_fn")], ids=" ".join)
def test_the_program_runs_from_any_folder_by_its_name(
    command: tuple[str, ...], installed: Installed, folder: Path
) -> None:
    """Help and version, and the help names the program as it was called."""
    version = installed.run(folder, *command, "--version")
    assert (version.returncode, version.stdout) == (0, f"matomo-fn, version {matomo_fn.__version__}\n"), version.stderr
    shown = installed.run(folder, *command, "--help")
    name = "matomo-fn" if command == ("matomo-fn",) else "python -m matomo_fn"
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"Usage: {name} [OPTIONS] COMMAND [ARGS]...\n")


def test_the_demo_runs_from_any_folder(installed: Installed, folder: Path) -> None:
    """With two syncs and commands that work there as they are printed."""
    done = installed.run(folder, "matomo-fn", "demo", "--days", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r" 0 slices written, [1-9]\d* unchanged", done.stdout)
    block = done.stdout.partition("Look at the data:\n")[2].partition("\n\n")[0]
    pasted = installed.run(folder, "sh", "-euc", block)
    assert pasted.returncode == 0, pasted.stderr
    assert [line.split()[0] for line in block.splitlines()].count("matomo-fn") == 5
    listed = installed.run(folder, "matomo-fn", "connectors", "--secrets", "matomo-demo/secrets", "--json")
    assert json.loads(listed.stdout)["connectors"][0]["dataset"] == "matomo_demo"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"matomo-demo"}
    assert os.access(folder / "matomo-demo" / "matomo.duckdb", os.R_OK)
