"""docs/deploy.md: its commands run where they can run here, its numbers are the code's."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from matomo_fn.config.connector import read_connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.config.request import read_request
from matomo_fn.config.validation import read_object
from matomo_fn.deadline import Deadline
from tests.deploy import configuration
from tests.deploy.configuration import EXAMPLES, ROOT, TERRAFORM

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def commands(text: str = TEXT) -> list[str]:
    """The shell blocks, without the indent of the list that they stand in."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
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


def test_the_steps_follow_from_each_other(tmp_path: Path) -> None:
    """From an empty folder to the first backfill, in one shell: paths are there, names are those made before."""
    calls = tmp_path / "calls"
    programs = {
        "gcloud": 'case "$*" in *" describe "*) exit 1 ;; esac\n',  # nothing is there yet
        "git": f'cp -r "{TERRAFORM}" terraform && mkdir -p "$3" && mv terraform "$3"/\n',
        "terraform": f'[ "$1 $2" = "output -raw" ] && echo "gcloud $3" && exit\ncp terraform.tfvars "{tmp_path}/"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\n{body}')
        program.chmod(0o755)
    steps = TEXT.partition("## From nothing to tables")[2].partition("\n## ")[0]
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="".join(commands(steps)),
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = calls.read_text().splitlines()
    assert said[:3] == ["gcloud auth login", "gcloud auth application-default login", "git clone REPOSITORY matomo-fn"]
    (created,) = (call for call in said if "buckets create" in call)
    bucket = created.split()[4].removeprefix("gs://")
    init = f"terraform init -backend-config=bucket={bucket}"
    assert said.index(created) < said.index(init) < said.index("terraform apply")
    assert said[-4:] == [
        "terraform output -raw sync_now",
        "gcloud sync_now",
        "terraform output -raw logs",
        "gcloud logs",
    ]
    given = set(re.findall(r"^(\w+) +=", (tmp_path / "terraform.tfvars").read_text(), re.MULTILINE))
    variables = configuration.read(TERRAFORM / "examples" / "minimal").of("variable")
    asked = {block.address for block in variables if "default" not in block.attributes}
    assert asked <= given <= {block.address for block in variables}


def test_outputs_that_it_names_are_outputs_of_the_examples() -> None:
    named = set(re.findall(r"terraform output (?:-raw )?(\w+)", TEXT.replace("\n", " ")))
    for example in EXAMPLES:
        assert named <= {block.address for block in configuration.read(example).of("output")}
    assert {"set_config", "set_token", "sync_now", "logs", "pause", "resume", "backfill"} <= named


def test_variables_and_alerts_that_it_names_are_terraforms() -> None:
    module = configuration.read(TERRAFORM)
    variables = {block.address for block in module.of("variable")}
    for name in (
        "alert_emails",
        "collect_callers",
        "collect_max_instances",
        "deletion_protection",
        "egress_range",
        "http_callers",
        "http_deadline",
        "ingress",
    ):
        assert f"`{name}" in TEXT
        assert name in variables
    table = TEXT.partition("| Alert | Raised when |")[2].partition("\n\n")[0]
    alerts = [block.text("display_name") for block in module.of("resource") if "alert_policy" in block.labels[0]]
    told = re.findall(r"^\| (?!---)([^|]+) \|", table, re.MULTILINE)
    assert sorted(told) == sorted(re.sub(r"\$\{var.name\}: | of \$\{each.key\}", "", name) for name in alerts)


def test_a_project_for_each_connector_is_what_terraforms_own_test_applies() -> None:
    (snippet,) = re.findall(r"```hcl\n(.*?)```", TEXT, re.DOTALL)
    shown = configuration.read_texts([snippet]).of("module")
    tried = configuration.read(TERRAFORM / "tests" / "projects").of("module")
    for block in (*shown, *tried):
        block.attributes.pop("for_each")
    assert shown == tried


def test_los_angeles_is_as_late_as_it_says() -> None:
    """04:30 UTC in winter: how long ago the last day ended there, and how late the one under way will come."""
    run = datetime(2026, 1, 15, 4, 30, tzinfo=UTC)
    there = run.astimezone(ZoneInfo("America/Los_Angeles"))
    assert (there.hour, there.minute, there.day) == (20, 30, 14)
    midnight = there.replace(hour=0, minute=0)
    assert (there - midnight).total_seconds() / 3600 == 20.5
    next_end = midnight + timedelta(days=1)
    assert (run + timedelta(days=1) - next_end).total_seconds() / 3600 == 20.5


def test_the_times_are_those_of_terraform_and_of_the_program() -> None:
    for waits, column in ((1800, 1), (600, 2)):
        timeout, budget = waits - 30, waits - 90
        now = [0.0]
        deadline = Deadline(budget, clock=lambda now=now: now[0])  # type: ignore[misc]
        while deadline.allows_requests():
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
        "matomo-fn-apply",  # a trigger
        "matomo-fn-check",
        "matomo-fn-collect",
        "matomo-fn-dead-letters",
        "matomo-fn-deploy",
        "matomo-fn-plan",
        "matomo-fn-requests",
        "matomo-fn-terraform",  # the end of the bucket's name
    }
    named = set(re.findall(r"matomo-fn-[a-z-]+[a-z]", TEXT))
    assert named == made
    text = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.glob("*.tf"))
    for suffix in ("-requests", "-dead-letters", "-collect"):
        assert f'"${{var.name}}{suffix}"' in text


def test_the_numbers_of_events_are_those_of_terraform() -> None:
    """Threads, instances, retention, waits and deliveries, as the section about events says them."""
    section = re.sub(r"\s+", " ", TEXT.partition("## Events\n")[2].partition("\n## ")[0])
    text = {name: (TERRAFORM / f"{name}.tf").read_text(encoding="utf-8") for name in ("events", "locals", "variables")}
    assert "collect_concurrency = 20" in text["locals"]
    assert "so an instance (512 MiB) serves 20 at once" in section
    assert re.search(r'variable "collect_max_instances" \{.*?default     = 5\n', text["variables"], re.DOTALL)
    assert "`collect_max_instances` (5)" in section
    kept = re.findall(r'message_retention_duration\s+= "(\d+)s"', text["events"])
    days = {int(seconds) // 86_400 for seconds in kept}
    assert days == {7, 31}
    assert "for 7 days after they were acknowledged" in section
    assert "holds what is not done for 31 days" in section
    # How long an outage may last: the waits double from the least to the most.
    attempts = int(re.findall(r"max_delivery_attempts = (\d+)", text["events"])[0])
    least, most = (int(seconds) for seconds in re.findall(r'_backoff = "(\d+)s"', text["events"]))
    hours = sum(min(most, least * 2**attempt) for attempt in range(attempts - 1)) / 3600
    assert round(hours) == 16
    assert f"After {attempts} times, about {hours:.0f} hours" in section
    assert f"after {least} s, then after longer times up to {'ten' if most == 600 else most} minutes" in section
    # What is delivered again has to be known still.
    dedupe_days = EventsConfig.model_fields["dedupe_days"].default
    assert f"(`dedupe_days`, {dedupe_days} by default; keep it above {min(days)})" in section
    assert dedupe_days > min(days)


def test_what_events_cost_is_what_the_table_works_out() -> None:
    """43,200 deliveries of 30 days, at the prices that stand beside them."""
    table = TEXT.partition("A connector with events, delivered every minute")[2].partition("\n\n[")[0]
    deliveries = 30 * 24 * 60
    assert f"({deliveries:,} deliveries of 30 days)" in table

    def costs(row: str) -> list[float]:
        (cell,) = re.findall(rf"^\| {row}[^\n]* \| ([^|\n]+) \|$", table, re.MULTILINE)
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]

    def functions(seconds: float) -> list[float]:
        beyond = max(0, seconds - 180_000) * 0.000024 + max(0, seconds - 360_000) * 0.0000025
        return [round(beyond, 2), round(seconds * (0.000024 + 0.0000025), 2)]

    def read(gigabytes: float) -> list[float]:
        tebibytes = gigabytes * 1e9 / 2**40
        return [round(max(0, tebibytes - 1) * 6.25, 2), round(tebibytes * 6.25, 2)]

    assert costs("Functions, deliveries that find nothing") == functions(deliveries * 6)
    assert costs("Functions, deliveries that all find events") == functions(deliveries * 20)
    reads = 2 * deliveries
    assert costs("Secret Manager") == [round((reads - 10_000) * 3e-6, 2), round(reads * 3e-6 + 0.06, 2)]
    assert costs("BigQuery, few events") == read(deliveries * 0.01)
    days = EventsConfig.model_fields["dedupe_days"].default
    assert costs("BigQuery, a million events") == read(deliveries * 1e6 * days / 30 * 2 * 115 / 1e9)
    kept = 2e9 * 7 / 30 / 2**30 * 0.27
    assert costs("Pub/Sub") == [round(kept, 2), round(kept + 4e9 / 2**40 * 40, 2)]
    assert costs("Functions, a million") == [0, round(0.4 + 100_000 * 0.000024 + 50_000 * 0.0000025, 2)]


def test_the_steps_of_events_are_terraforms() -> None:
    """docs/events.md, Deployment: its keys and defaults are those of the variable, its outputs the examples'."""
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8").partition("\n## Deployment\n")[2]
    variables = (TERRAFORM / "variables.tf").read_text(encoding="utf-8")
    block = re.search(r"events = optional\(object\(\{\n(.*?)\n    \}\)\)", variables, re.DOTALL)
    assert block
    taken = dict(re.findall(r"^\s+(\w+)\s+= (.*)$", block[1], re.MULTILINE))
    told = dict(re.findall(r"^ *\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert told.keys() == taken.keys()
    for key, kind in taken.items():
        default = re.fullmatch(r"optional\(\w+, (.*)\)", kind)
        if default:
            assert told[key] == f"`{default[1]}`", key
        assert (told[key] == "required") == ("optional" not in kind), key
    named = set(re.findall(r"terraform output (?:-raw )?(\w+)", text))
    assert named == {"logs", "set_config", "set_signature", "webhook_urls"}
    for example in EXAMPLES:
        assert named <= {block.address for block in configuration.read(example).of("output")}
    for body in commands(text):
        subprocess.run(["bash", "-n"], input=body, text=True, check=True)
