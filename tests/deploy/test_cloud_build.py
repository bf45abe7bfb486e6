"""cloudbuild/*.yaml and .gcloudignore: the same checks as everywhere, the same state and files as by hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.configuration import ROOT, TERRAFORM
from tools import bundle

if TYPE_CHECKING:
    from pathlib import Path

BUILTIN = {"PROJECT_ID"}
# A tag that names a version down to its last part, or a digest.
PINNED = re.compile(r".+(:\d+\.\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")


BUILDS = ("apply", "check", "plan")


def build(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild" / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def scripts(name: str) -> str:
    """What the steps of a build run."""
    return "\n".join(step["args"][-1] for step in build(name)["steps"])


def test_there_are_three_builds() -> None:
    """By three accounts: what runs a pull request's code has no rights, and what has rights runs Terraform alone."""
    assert sorted(path.stem for path in (ROOT / "cloudbuild").glob("*.yaml")) == sorted(BUILDS)


def test_checks_are_the_targets_that_everybody_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake (\w+)", scripts("check"))
    assert [target for target in targets if target != "terraform"] == ["test", "bundle"]
    assert targets[-1] == "terraform"
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_no_check_runs_where_something_can_be_changed_and_no_change_where_checks_run() -> None:
    assert not re.search(r"terraform (init|plan|apply)|STATE", scripts("check"))
    for name in ("plan", "apply"):
        assert not re.search(r"\b(make|pip|uv|python|pytest|apk)\b", scripts(name)), name
    assert "terraform apply" not in scripts("plan")
    assert "-lock=false" in scripts("plan"), "an account that only reads cannot lock"
    assert "-lock=false" not in scripts("apply")


@pytest.mark.parametrize("name", BUILDS)
def test_substitutions_are_declared_used_and_explained(name: str) -> None:
    text = (ROOT / "cloudbuild" / f"{name}.yaml").read_text(encoding="utf-8")
    declared = set(build(name)["substitutions"])
    body = text.partition("\nsteps:")[2]
    # Two dollars are a shell's own variable.
    used = set(re.findall(r"(?<!\$)\$\{?([A-Z_]+)\}?", body)) - BUILTIN
    assert used == declared
    assert set(re.findall(r"^#   (_\w+) ", text, re.MULTILINE)) == declared


def test_substitutions_stand_in_the_document() -> None:
    table = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    declared = {each for name in BUILDS for each in build(name)["substitutions"]}
    assert set(re.findall(r"^\| `(_[A-Z_]+)` \|", table, re.MULTILINE)) == declared


@pytest.mark.parametrize("name", BUILDS)
def test_images_are_pinned(name: str) -> None:
    document = build(name)
    for step in document["steps"]:
        variable = re.fullmatch(r"\$\{(\w+)\}", step["name"])
        image = document["substitutions"][variable[1]] if variable else step["name"]
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


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("plan", ["plan -input=false -lock=false"]),
        (
            "apply",
            [
                "plan -input=false -out=/workspace/deployment.tfplan",
                "apply -input=false /workspace/deployment.tfplan",
            ],
        ),
    ],
)
def test_plans_and_applies_use_the_state_of_an_apply_by_hand(name: str, commands: list[str], tmp_path: Path) -> None:
    """The step's own script, with a terraform that only says what it was asked."""
    (step,) = build(name)["steps"]
    script = step["args"][-1].replace("$$", "$")  # two dollars are Cloud Build's way to write one
    program = tmp_path / "terraform"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    default = build(name)["substitutions"]["_STATE_BUCKET"]
    bucket = default.replace("${PROJECT_ID}", "my-project")
    done = subprocess.run(
        ["sh", "-ceu", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE_BUCKET": bucket},
        capture_output=True,
        text=True,
        check=True,
    )
    init = "init -input=false -backend-config=bucket=my-project-matomo-fn-terraform"
    assert done.stdout.splitlines() == [init, *commands]
    assert step["dir"] == "${_DEPLOYMENT}"
    assert (ROOT / build(name)["substitutions"]["_DEPLOYMENT"] / "main.tf").exists()
    assert "STATE_BUCKET=${_STATE_BUCKET}" in step["env"]
    assert build(name)["options"]["dynamicSubstitutions"] is True
    assert "gs://$bucket" in (TERRAFORM / "bootstrap.sh").read_text()
    assert "bucket=$project-matomo-fn-terraform" in (TERRAFORM / "bootstrap.sh").read_text()


def test_tests_have_the_terraform_that_the_other_builds_use(tmp_path: Path) -> None:
    """The image of Python has none: the first step's script puts it where the second one's looks."""
    program, tests = build("check")["steps"][:2]
    assert program["volumes"] == tests["volumes"] == [{"name": "terraform", "path": "/terraform"}]
    folder = tmp_path / "terraform"
    (tmp_path / "image").mkdir()
    folder.mkdir()
    for path, name in ((tmp_path / "image" / "terraform", "Terraform"), (tmp_path / "image" / "make", "make")):
        path.write_text(f"#!/bin/sh\necho {name} $(command -v terraform)\n")
        path.chmod(0o755)
    said = ""
    for step in (program, tests):
        script = step["args"][-1].replace("$$", "$").replace("/terraform", str(folder))
        said += subprocess.run(
            ["sh", "-ceu", script],
            env={"PATH": f"{tmp_path / 'image'}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert said == f"make {folder}/terraform\n"
    versions = {build(name)["substitutions"]["_TERRAFORM_IMAGE"] for name in BUILDS}
    assert len(versions) == 1
