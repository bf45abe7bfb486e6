"""checkov's judgement of Terraform: nothing failed that is not explained where it stands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.configuration import TERRAFORM
from tools.environments import environment

if TYPE_CHECKING:
    from pathlib import Path

_SKIP = re.compile(r"#\s*checkov:skip=.*")


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The program, in the environment that ``make programs`` makes."""
    return environment("checkov") / "bin" / "checkov"


def judged(program: Path, *folders: Path) -> dict[str, list[dict[str, Any]]]:
    """Passed, failed and skipped checks of some folders."""
    command: list[str | Path] = [
        program,
        "--framework",
        "terraform",
        "--compact",
        "--skip-download",
        "--output",
        "json",
    ]
    for folder in folders:
        command += ["--directory", folder]
    answer = subprocess.run([*command, "--soft-fail"], capture_output=True, text=True, check=True)
    reports = json.loads(answer.stdout)
    results = [report["results"] for report in (reports if isinstance(reports, list) else [reports])]
    return {kind: [check for each in results for check in each[kind]] for kind in results[0]}


@pytest.mark.long
def test_no_check_fails_that_is_not_explained_in_place(checkov: Path, tmp_path: Path) -> None:
    """And, as the counter-check, the same files without their explanations fail in those very checks."""
    for name, pattern in (("explained", None), ("bare", _SKIP)):
        (tmp_path / name).mkdir()
        for path in TERRAFORM.glob("*.tf"):
            text = path.read_text(encoding="utf-8")
            (tmp_path / name / path.name).write_text(pattern.sub("", text) if pattern else text)
    shutil.copy(TERRAFORM / "bundle.json", tmp_path / "explained")
    results = judged(checkov, tmp_path)
    assert results["parsing_errors"] == []

    def checks(kind: str, folder: str) -> set[tuple[str, str]]:
        found = [each for each in results[kind] if f"/{folder}/" in each["file_path"]]
        return {(each["check_id"], each["resource"]) for each in found}

    assert checks("failed_checks", "explained") == set()
    assert len(checks("passed_checks", "explained")) > 5
    assert checks("failed_checks", "bare") == checks("skipped_checks", "explained") != set()
    assert all(len(each["check_result"]["suppress_comment"]) > 20 for each in results["skipped_checks"])
