"""docs/deploy.md: its commands run where they can run here, its numbers are the code's."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import FolderSecretStore, read_token
from matomo_fn.config.validation import read_object
from matomo_fn.deadline import Deadline
from tests.deploy.configuration import ROOT, TERRAFORM
from tests.support.canary import CANARY, assert_absent

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The shell blocks, without the indent of the list that they stand in."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in blocks]


def test_the_commands_are_shell() -> None:
    assert len(commands()) > 10
    for body in commands():
        subprocess.run(["bash", "-n"], input=body, text=True, check=True)


def test_requests_and_configurations_are_such() -> None:
    requests = re.findall(r"'(\{\"connector\".*?\})'", TEXT)
    assert [read_request(read_object(each, "message")).mode for each in requests] == ["backfill"]
    configurations = re.findall(r'^ *(\{"dataset".*?\})$', TEXT, re.MULTILINE)
    assert [read_connector("shop", each).dataset_name for each in configurations] == ["matomo_shop"]


def test_the_command_that_sets_a_token_shows_it_to_nobody(tmp_path: Path) -> None:
    """It goes from the person's fingers into gcloud's standard input: no argument, no file, nothing shown."""
    (command,) = (line for body in commands() for line in body.splitlines() if "read -rs" in line)
    outputs = (TERRAFORM / "outputs.tf").read_text(encoding="utf-8").replace('\\"', '"')
    assert "read -rs -p 'Token: ' TOKEN && printf %s \"$TOKEN\" | gcloud secrets versions add" in outputs
    program = tmp_path / "gcloud"
    program.write_text(
        '#!/bin/sh\necho "$@" > "$0.arguments"\nmkdir "$0.secrets"; cat > "$0.secrets/matomo-shop-token"\n'
    )
    program.chmod(0o755)
    shell = subprocess.run(
        ["bash", "-euc", f'{command}\necho "left: ${{TOKEN-nothing}}"'],
        input=f"{CANARY}\n",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "left: nothing\n"
    arguments = (tmp_path / "gcloud.arguments").read_text()
    assert_absent(arguments=arguments, shown=shell.stdout + shell.stderr)
    assert arguments.startswith("secrets versions add matomo-shop-token")
    assert read_token(FolderSecretStore(tmp_path / "gcloud.secrets"), "shop").reveal() == CANARY


def test_the_times_are_those_of_terraform_and_of_the_program() -> None:
    for waits, column in ((1800, 1), (600, 2)):
        timeout, budget = waits - 30, waits - 90
        now = [0.0]
        deadline = Deadline(budget, clock=lambda now=now: now[0])  # type: ignore[misc]
        while deadline.allows_asking():
            now[0] += 1
        for row, seconds in (
            ("who waits", waits),
            ("function's timeout", timeout),
            ("program's budget", budget),
            ("asks Matomo until", now[0]),
        ):
            line = next(line for line in TEXT.splitlines() if line.startswith("|") and row in line)
            assert f"{seconds:.0f} s" in line.split("|")[column + 1], (row, line)


def test_names_are_those_that_terraform_makes() -> None:
    """Jobs, topics and accounts in commands are the default ones."""
    made = {
        "matomo-fn-shop-daily",
        "matomo-fn-requests",
        "matomo-fn-dead-letters",
        "matomo-fn-build",
        "matomo-fn-deploy",
    }
    named = set(re.findall(r"matomo-fn-[a-z-]+[a-z]", TEXT))
    assert named == made
    text = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.glob("*.tf"))
    for suffix in ("-requests", "-dead-letters", "-build"):
        assert f'"${{var.name}}{suffix}"' in text
