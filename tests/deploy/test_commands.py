"""What Terraform prints to be pasted: printed by Terraform, run by a shell, with a gcloud that notes its calls."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import FolderSecretStore, read_token
from matomo_fn.config.site_selection import EVERY_SITE
from matomo_fn.config.validation import read_object
from matomo_fn.errors import InputError
from tests.deploy.configuration import COMMANDS, ROOT, read
from tests.support.canary import CANARY, assert_absent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 30.0
KEY = "projects/keys/locations/us/keyRings/r/cryptoKeys/data"
VALUES: dict[str, Any] = {
    "connectors": {
        "shop": {"dataset": "matomo_shop", "location": "EU", "matomo_url": "https://data.example.com/a&b/"},
        "two-sites": {
            "dataset": "clients",
            "events_site": "7",
            "kms_key": KEY,
            "location": "US",
            "matomo_url": "https://matomo.example.com",
        },
    },
    "dead_letters": ["matomo-fn-dead-letters", "matomo-two-sites-events-dead-letters"],
    "jobs": ["matomo-fn_shop_daily", "matomo-fn_two-sites_evening"],
    "log_filter": 'resource.type="cloud_run_revision" AND jsonPayload.message:*',
    "project": "test-project",
    "region": "europe-west1",
    "topic": "matomo-fn-requests",
}
# Each call a line of JSON: its arguments and its standard input.
GCLOUD = """#!{python}
import json, sys
data = sys.stdin.read() if "--data-file=-" in sys.argv else ""
with open("{calls}", "a") as file:
    file.write(json.dumps([sys.argv[1:], data]) + "\\n")
print("Created version [1] of the secret.")
"""


class Gcloud:
    """A gcloud that does nothing but write down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self._calls = folder / "calls"
        self.path.mkdir()
        program = self.path / "gcloud"
        python = shutil.which("python3") or ""
        program.write_text(GCLOUD.format(python=python, calls=self._calls))
        program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell that finds it."""
        return {"PATH": f"{self.path}:/usr/bin:/bin", "HOME": str(self.path), "TERM": "dumb"}

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        """The arguments and the standard input of each call."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [(arguments, data) for arguments, data in map(json.loads, lines)]

    def run(self, text: str) -> list[tuple[list[str], str]]:
        """Run a text as a whole and return the calls."""
        subprocess.run(["bash", "-euo", "pipefail"], input=text, text=True, check=True, env=self.environment)
        return self.calls


@pytest.fixture
def gcloud(tmp_path: Path) -> Gcloud:
    return Gcloud(tmp_path)


@pytest.fixture(scope="module")
def printed(terraform: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What `terraform output` prints after an apply: raw, or as it shows it by itself."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copy(COMMANDS / "main.tf", folder)
    (folder / "terraform.tfvars.json").write_text(json.dumps(VALUES))

    def run(*arguments: str) -> str:
        answer = subprocess.run(
            [terraform, f"-chdir={folder}", *arguments], check=True, capture_output=True, text=True, env=os.environ
        )
        return answer.stdout

    run("init", "-input=false", "-no-color")
    run("apply", "-input=false", "-auto-approve", "-no-color")

    def output(name: str, *options: str) -> str:
        return run("output", "-no-color", *(options or ("-raw",)), name)

    return output


OUTPUTS = sorted(block.address for block in read(COMMANDS).of("output"))


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_text_is_shown_as_it_is_without_raw_too(printed: Callable[..., str], name: str) -> None:
    """Terraform escapes what stands in one line, in a list or in a map, and quotes then go where they do harm."""
    shown = printed(name, "-no-color")
    assert shown.startswith("<<EOT\n")
    assert shown.removeprefix("<<EOT\n").removesuffix("\nEOT\n") == printed(name)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_text_is_shell_without_comments(printed: Callable[..., str], name: str) -> None:
    """An interactive zsh runs comments."""
    text = printed(name)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert not re.search(r"^\s*#|\s#\s", text, re.MULTILINE)


def test_a_configuration_arrives_as_the_program_reads_it(printed: Callable[..., str], gcloud: Gcloud) -> None:
    calls = gcloud.run(printed("set_config"))
    assert [arguments for arguments, _ in calls] == [
        ["secrets", "versions", "add", f"matomo-{name}-config", "--project=test-project", "--data-file=-"]
        for name in VALUES["connectors"]
    ]
    shop, two_sites = (read_connector(name, data) for name, (_, data) in zip(VALUES["connectors"], calls, strict=True))
    assert (shop.dataset_name, shop.location, shop.matomo_url) == ("matomo_shop", "EU", "https://data.example.com/a&b/")
    assert (two_sites.dataset_name, two_sites.location, two_sites.sites) == ("clients", "US", EVERY_SITE)
    # The key of the dataset that Terraform makes is that of the tables and the queries.
    assert (shop.kms_key, two_sites.kms_key) == ("", KEY)
    assert shop.events is None
    assert two_sites.events is not None
    assert two_sites.events.site == "7"


@pytest.mark.parametrize("name", ["backfill", "sync_now"])
def test_a_message_is_a_request(printed: Callable[..., str], gcloud: Gcloud, name: str) -> None:
    calls = gcloud.run(printed(name))
    requests = []
    for arguments, _ in calls:
        assert arguments[:5] == ["pubsub", "topics", "publish", "matomo-fn-requests", "--project=test-project"]
        requests.append(read_request(read_object(arguments[5].removeprefix("--message=").encode(), "message")))
    assert [request.connector for request in requests] == ["shop", "two-sites"]
    assert {request.mode for request in requests} == {"backfill" if name == "backfill" else "incremental"}
    assert {str(request.start_date) for request in requests} == {"2025-01-01" if name == "backfill" else "None"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dead_letters", [["pubsub", "subscriptions", "pull", name] for name in VALUES["dead_letters"]]),
        ("logs", [["logging", "read", VALUES["log_filter"]]]),
        ("pause", [["scheduler", "jobs", "pause", job] for job in VALUES["jobs"]]),
        ("resume", [["scheduler", "jobs", "resume", job] for job in VALUES["jobs"]]),
    ],
)
def test_other_commands_say_what_they_mean(
    printed: Callable[..., str], gcloud: Gcloud, name: str, expected: list[list[str]]
) -> None:
    calls = [arguments for arguments, _ in gcloud.run(printed(name))]
    assert [arguments[: len(each)] for arguments, each in zip(calls, expected, strict=True)] == expected
    assert all("--project=test-project" in arguments for arguments in calls)


TOKEN = tuple(f"Matomo token of connector {name}: " for name in VALUES["connectors"])
SIGNATURE = ("Shared secret in Segment of connector two-sites: ",)
SHELLS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "sh": ["sh", "-i"]}


def pasted(gcloud: Gcloud, text: str, *answers: str, prompts: tuple[str, ...] = TOKEN, shell_name: str = "bash") -> str:
    """Paste a text into an interactive shell at a terminal, answer its prompts, and return all that was to be seen.

    The whole text is there before the shell reads its first line, as with a paste; a prompt's answer comes once the
    prompt does.
    """
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        SHELLS[shell_name],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=gcloud.environment | {"PS1": "READY ", "HISTFILE": str(gcloud.path / "history")},
        start_new_session=True,
    )
    os.close(slave)
    seen, position = "", 0
    deadline = time.monotonic() + SECONDS

    def until(sign: str) -> None:
        nonlocal seen, position
        while sign not in seen[position:]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([master], [], [], left)[0]:
                pytest.fail(f"{sign!r} did not come within {SECONDS} s:\n{seen}")
            seen += os.read(master, 65536).decode()
        position = seen.index(sign, position) + len(sign)

    try:
        until("READY ")
        os.write(master, text.encode())
        for prompt, answer in zip(prompts, answers, strict=False):
            until(prompt)  # and not the text that was pasted, which has no connector's name in it
            os.write(master, f"{answer}\n".encode())
        until("READY ")
        os.write(master, b'echo "left: ${value-nothing}"; stty -a; exit\n')
        until("left: nothing")
        until(" echo ")  # and not "-echo"
        shell.wait(SECONDS)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)
    return seen


@pytest.mark.parametrize("shell_name", SHELLS)
def test_a_token_goes_from_the_keyboard_to_gcloud_and_nowhere_else(
    printed: Callable[..., str], gcloud: Gcloud, tmp_path: Path, shell_name: str
) -> None:
    """Pasted at a terminal: no line of the text is taken for a token, and a token is neither shown nor remembered."""
    seen = pasted(gcloud, printed("set_token"), CANARY, f"{CANARY}2", shell_name=shell_name)
    (first, token), (second, other) = gcloud.calls
    assert first == ["secrets", "versions", "add", "matomo-shop-token", "--project=test-project", "--data-file=-"]
    assert second[3] == "matomo-two-sites-token"
    assert (token, other) == (CANARY, f"{CANARY}2")
    assert_absent(seen=seen, arguments=repr([first, second]))
    history = gcloud.path / "history"
    assert_absent(history=history.read_text() if history.exists() else "")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "matomo-shop-token").write_text(token)
    assert read_token(FolderSecretStore(tmp_path / "secrets"), "shop").reveal() == CANARY


@pytest.mark.parametrize("shell_name", SHELLS)
def test_a_signature_goes_from_the_keyboard_to_gcloud_and_nowhere_else(
    printed: Callable[..., str], gcloud: Gcloud, shell_name: str
) -> None:
    """Only connectors with events are asked for; the secret has the name that the program reads."""
    seen = pasted(gcloud, printed("set_signature"), CANARY, prompts=SIGNATURE, shell_name=shell_name)
    ((arguments, signature),) = gcloud.calls
    assert arguments == [
        "secrets",
        "versions",
        "add",
        "matomo-two-sites-signature",
        "--project=test-project",
        "--data-file=-",
    ]
    assert signature == CANARY
    assert "connector shop" not in seen
    history = gcloud.path / "history"
    assert_absent(seen=seen, arguments=repr(arguments), history=history.read_text() if history.exists() else "")


def test_without_events_there_is_no_signature_to_set(terraform: str, tmp_path: Path) -> None:
    """Terraform keeps no output that is null."""
    shutil.copy(COMMANDS / "main.tf", tmp_path)
    (shop,) = (each for name, each in VALUES["connectors"].items() if name == "shop")
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(VALUES | {"connectors": {"shop": shop}}))
    for arguments in (("init",), ("apply", "-auto-approve")):
        subprocess.run([terraform, f"-chdir={tmp_path}", *arguments, "-input=false"], check=True, capture_output=True)
    answer = subprocess.run(
        [terraform, f"-chdir={tmp_path}", "output", "-json"], check=True, capture_output=True, text=True
    )
    outputs = json.loads(answer.stdout)
    assert "set_signature" not in outputs
    assert "events" not in outputs["set_config"]["value"]
    assert "set_token" in outputs


def test_a_prompt_that_is_broken_off_leaves_the_terminal_as_it_was(printed: Callable[..., str], gcloud: Gcloud) -> None:
    """Ctrl-C at the first prompt: no token is set, the second prompt does not come, what is typed is shown again."""
    seen = pasted(gcloud, printed("set_token"), "\x03")
    assert gcloud.calls == []
    assert "connector two-sites" not in seen.partition("Matomo token of connector shop: ")[2]


def test_a_connector_without_a_token_is_left_out(printed: Callable[..., str], gcloud: Gcloud) -> None:
    seen = pasted(gcloud, printed("set_token"), "", CANARY)
    assert [arguments[3] for arguments, _ in gcloud.calls] == ["matomo-two-sites-token"]
    assert "left out shop: no token given" in seen


def test_a_token_that_was_pasted_with_its_quotes_is_refused_by_the_program(
    printed: Callable[..., str], gcloud: Gcloud, tmp_path: Path
) -> None:
    """Before Matomo sees it, and by its name: the counter-check of what escaped output did."""
    pasted(gcloud, printed("set_token"), f'"{CANARY}"', "")
    ((_, stored),) = gcloud.calls
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "matomo-shop-token").write_text(stored)
    with pytest.raises(InputError, match="the secret matomo-shop-token has quotes around the token"):
        read_token(FolderSecretStore(tmp_path / "secrets"), "shop")


def test_the_module_of_commands_needs_no_provider() -> None:
    assert "required_providers" not in (COMMANDS / "main.tf").read_text(encoding="utf-8")
    assert (ROOT / "terraform" / "outputs.tf").read_text(encoding="utf-8").count("./modules/commands") == 1
