"""cloudbuild.yaml and .gcloudignore: the same checks as everywhere, the same files as Terraform's."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from tests.deploy.configuration import ROOT
from tools import bundle

if TYPE_CHECKING:
    from pathlib import Path

BUILTIN = {"PROJECT_ID"}
# A tag that names a version down to its last part, or a digest.
PINNED = re.compile(r".+(:\d+\.\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")


def build() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))
    return document


def test_it_runs_the_targets_that_everybody_runs() -> None:
    steps = build()["steps"]
    targets = [step["args"][0] for step in steps if step["entrypoint"] == "make"]
    targets += [target for step in steps for target in re.findall(r"&& make (\w+)", step["args"][-1])]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == ["test", "bundle", "terraform"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert [step["id"] for step in steps][-2:] == ["plan", "apply"]


def test_substitutions_are_declared_used_and_explained() -> None:
    text = (ROOT / "cloudbuild.yaml").read_text(encoding="utf-8")
    declared = set(build()["substitutions"])
    body = text.partition("\nsteps:")[2]
    # Two dollars are a shell's own variable.
    used = set(re.findall(r"(?<!\$)\$\{?([A-Z_]+)\}?", body)) - BUILTIN
    assert used == declared
    assert set(re.findall(r"^#   (_\w+) ", text, re.MULTILINE)) == declared
    table = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(_[A-Z_]+)` \|", table, re.MULTILINE)) == declared


def test_images_are_pinned() -> None:
    document = build()
    for step in document["steps"]:
        name = re.fullmatch(r"\$\{(\w+)\}", step["name"])
        image = document["substitutions"][name[1]] if name else step["name"]
        assert PINNED.fullmatch(image), step["id"]
    assert not PINNED.fullmatch("python:3.13")
    assert not PINNED.fullmatch("python")


def test_gcloud_would_upload_what_terraform_ships(tmp_path: Path) -> None:
    """Git reads the patterns, whose rules gcloud's are."""
    for name in (
        "main.py",
        "requirements.txt",
        "requirements-dev.txt",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "Makefile",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "matomo_fn", tmp_path / "matomo_fn")
    shutil.copytree(ROOT / "tests" / "deploy", tmp_path / "tests" / "deploy")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copy(ROOT / ".gcloudignore", tmp_path / ".gitignore")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    answer = subprocess.run(
        ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(answer.stdout.splitlines()) == bundle.files()


def test_the_plan_stops_without_a_bucket_and_keeps_its_state_in_one(tmp_path: Path) -> None:
    """The step's own script, with a terraform that only says what it was asked."""
    (step,) = (each for each in build()["steps"] if each["id"] == "plan")
    script = step["args"][-1].replace("$$", "$")  # two dollars are Cloud Build's way to write one
    program = tmp_path / "terraform"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)

    def planned(bucket: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE_BUCKET": bucket}
        return subprocess.run(
            ["sh", "-ceu", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    refused = planned("")
    assert refused.returncode == 1
    assert "_STATE_BUCKET" in refused.stderr
    done = planned("states")
    assert done.stdout.splitlines() == [
        "init -input=false -backend-config=bucket=states -backend-config=prefix=matomo-fn",
        "plan -input=false -out=/workspace/deployment.tfplan",
    ]
    assert (tmp_path / "backend_override.tf").read_text() == 'terraform {\n  backend "gcs" {}\n}\n'
