"""Settings, events and times: what stands in the code stands in Terraform and in the documents, and means the same."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from zoneinfo import available_timezones

import pytest
from functions_framework._http import gunicorn

from matomo_fn.config.request import read_request
from matomo_fn.config.settings import PREFIX, VARIABLES, read_settings
from matomo_fn.events.result import DeliveryResult, Tally
from matomo_fn.sync import result
from matomo_fn.sync.quality_result import QualityResult
from matomo_fn.sync.reach import Reach
from matomo_fn.verdict import Verdict
from tests.deploy import configuration
from tests.deploy.configuration import EXAMPLES, ROOT, TERRAFORM

# The emulators are for tests: set on a function, rows and events would go elsewhere.
NEVER_DEPLOYED = {"BIGQUERY_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"}


def terraform_text(name: str) -> str:
    return (TERRAFORM / name).read_text(encoding="utf-8")


def environment() -> set[str]:
    """The variables that Terraform sets for the functions that sync: for both, and beside each."""
    shared = re.search(r"environment = \{ for .*? in \{\n(.*?)\n  \} :", terraform_text("locals.tf"), re.DOTALL)
    assert shared
    own = re.findall(r"merge\(local\.environment, \{ (\w+) =", terraform_text("functions.tf"))
    assert len(own) == 2
    return {*re.findall(r"^\s+(\w+)\s+=", shared[1], re.MULTILINE), *own}


def test_every_setting_is_set_by_terraform() -> None:
    assert environment() == set(VARIABLES.values()) - NEVER_DEPLOYED
    for name in NEVER_DEPLOYED:
        assert name in terraform_text("locals.tf"), f"{name}: say why it is not set"


def test_collect_is_set_what_it_reads_and_starts_a_thread_for_each_call() -> None:
    """Terraform copies the values from the others' environment; what is about Matomo, tables and runs stays away.

    functions_framework starts gunicorn with as many threads as THREADS says, four for a CPU without it: calls beyond
    would wait in an instance, and Cloud Run would start no other one.
    """
    text = terraform_text("locals.tf")
    block = text.partition("  collect_environment = merge(")[2]
    (copied,) = re.findall(r"contains\(\[(.*?)\], name\)", block.partition("\n  )\n")[0])
    own = re.findall(r"^      (\w+)\s+=", block, re.MULTILINE)
    assert own == ["MATOMO_FN_CONNECTORS", "THREADS"]
    names = {*re.findall(r'"(\w+)"', copied), *own, "MATOMO_FN_SECRET_VERSIONS"} - {"THREADS"}
    assert "MATOMO_FN_SECRET_VERSIONS =" in block
    assert names <= set(VARIABLES.values())
    assert set(VARIABLES.values()) - names - NEVER_DEPLOYED == {
        "MATOMO_FN_ALLOW_PRIVATE_ADDRESSES",
        "MATOMO_FN_BUFFER_MEGABYTES",
        "MATOMO_FN_REQUESTS_TOPIC",
        "MATOMO_FN_SECONDS_PER_CALL",
        "MATOMO_FN_TIME_BUDGET",
        "MATOMO_FN_WAREHOUSE",
    }
    assert "max_instance_request_concurrency = local.collect_concurrency" in terraform_text("functions.tf")
    framework = Path(inspect.getfile(gunicorn)).read_text(encoding="utf-8")
    assert 'os.environ.get("THREADS"' in framework


def test_every_setting_stands_in_the_documents() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    assert {name for name in rows if name.startswith(PREFIX)} == {
        name for name in VARIABLES.values() if name.startswith(PREFIX)
    }
    assert "GOOGLE_CLOUD_PROJECT" in rows


def test_the_program_takes_what_terraform_sets() -> None:
    """As the Terraform test asserts them; the budgets by the rule of locals.tf."""
    settings = read_settings(
        {
            "GOOGLE_CLOUD_PROJECT": "test-project",
            "MATOMO_FN_LOG_FORMAT": "json",
            "MATOMO_FN_SECRETS": "secret-manager",
            "MATOMO_FN_SECRET_VERSIONS": "matomo-shop-token=3",
            "MATOMO_FN_BUFFER_MEGABYTES": "128",
            "MATOMO_FN_TIME_BUDGET": "1710",
            "MATOMO_FN_CONNECTORS": "blog,shop",
            "MATOMO_FN_REQUESTS_TOPIC": "matomo-fn-requests",
            "MATOMO_FN_SECONDS_PER_CALL": "0.5",
            "MATOMO_FN_WAREHOUSE": "bigquery",
        }
    )
    assert settings.connectors == ("blog", "shop")
    assert settings.time_budget == 1710
    assert (settings.requests_topic, settings.seconds_per_call) == ("matomo-fn-requests", 0.5)
    assert settings.secret_versions == {"matomo-shop-token": "3"}


def test_whoever_waits_waits_longer_than_whom_he_waits_for() -> None:
    """Caller's deadline, function's timeout, program's budget: with the margins that locals.tf explains."""
    text = terraform_text("locals.tf")
    assert "sync_timeout       = var.http_deadline - 30" in text
    assert "sync_event_timeout = local.ack_deadline - 30" in text
    assert "sync_budget        = local.sync_timeout - 60" in text
    assert "sync_event_budget  = local.sync_event_timeout - 60" in text
    assert "ack_deadline       = 600" in text  # Pub/Sub's most
    limits = re.search(r"http_deadline >= (\d+) && var.http_deadline <= (\d+)", terraform_text("variables.tf"))
    assert limits
    assert (int(limits[1]), int(limits[2])) == (300, 3600)  # an HTTP function's most is an hour


def logged_events() -> set[str]:
    """The names of all events that the program logs."""
    found = set()
    for path in ROOT.glob("matomo_fn/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in {"info", "warning", "error", "tell"}:
                    found.add(str(node.args[0].value))
    return found


def test_alerts_count_events_that_the_program_logs() -> None:
    text = terraform_text("monitoring.tf")
    filters = re.findall(r'^ +filter +=  ?"(jsonPayload\..*)"$', text, re.MULTILINE)
    events = {name for each in filters for name in re.findall(r'\\"([a-z_]+)\\"', each)}
    assert events == {
        *("run_finished", "request_finished", "request_refused", "message_refused", "deliver_finished"),
        "quality_checked",
    }
    assert events <= logged_events()
    assert set(re.findall(r'status=\\"(\w+)\\"', text)) == {str(Verdict.FAILED)}


def test_alerts_look_at_fields_that_a_run_logs() -> None:
    """And at numbers as numbers: 0 days late is what the alert about late data waits for."""
    asked = set(re.findall(r"jsonPayload\.(\w+)", terraform_text("monitoring.tf"))) - {"message", "rejected", "differs"}
    about = result.About(connector="shop", run_id="run1", mode="incremental")
    run = result.RunResult(about=about, tables={}, seconds=1.0, calls=1, reach=Reach(None, 0, None, 1))
    assert asked == {"connector", "days_late", "days_pending", "errors", "status"}
    assert asked <= run.as_dict().keys()
    assert (run.as_dict()["days_late"], run.as_dict()["days_pending"]) == (0, 1)
    delivery = DeliveryResult(connector="shop", run_id="run1", tally=Tally(rejected=2), calls=1, seconds=1.0)
    assert {"connector", "errors", "rejected"} <= delivery.as_dict().keys()
    assert delivery.as_dict()["rejected"] == 2
    assert QualityResult("shop", "run1").summary()["differs"] == 0
    fields = re.search(
        r"jsonPayload\.message,(jsonPayload[^)]*)\)", (TERRAFORM / "modules/commands/main.tf").read_text()
    )
    assert fields
    assert {name.removeprefix("jsonPayload.") for name in fields[1].split(",")} <= run.as_dict().keys()
    text = terraform_text("monitoring.tf")
    assert "jsonPayload.days_late=0" in text
    assert "jsonPayload.days_pending>0" in text


def test_windows_of_alerts_outlast_the_delay_of_metrics() -> None:
    """A count from the log may be known ten minutes late."""
    windows = re.findall(r"\}\[(\d+)m\]", terraform_text("monitoring.tf"))
    assert len(windows) == 8
    assert {int(window) for window in windows} == {30}


def test_queries_ask_for_metrics_that_are_made() -> None:
    """Prometheus' name of a metric from the log is made of its own."""
    text = terraform_text("monitoring.tf")
    metrics = "".join(re.findall(r"^  (?:events_)?metrics = \{\n(.*?)^  \}\n", text, re.DOTALL | re.MULTILINE))
    made = set(re.findall(r"^    (\w+) = \{", metrics, re.MULTILINE))
    assert len(made) == 7
    asked = re.findall(
        r'logging_googleapis_com:user_\$\{google_logging_metric\.event\["(\w+)"\]\.name\}\{(.*?)\}\[', text
    )
    assert {name for name, _ in asked} == made
    assert all('monitored_resource=\\"cloud_run_revision\\"' in labels for _, labels in asked)
    for name, labels in asked:
        block = metrics.partition(f"    {name} = {{")[2].partition("\n    }\n")[0]
        used = set(re.findall(r'(\w+)=\\"', labels)) - {"monitored_resource"}
        assert used <= set(re.findall(r'(\w+)\s+= "EXTRACT', block)), name


def test_every_sentence_about_a_refused_token_is_found_by_the_alert() -> None:
    pattern = re.search(r'jsonPayload\.errors=~\\"(.+?)\\"', terraform_text("monitoring.tf"))
    assert pattern
    sentences = [
        "".join(str(part.value) for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))
        for path in ROOT.glob("matomo_fn/**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "TokenRefused"
    ]
    assert len(sentences) >= 2
    assert all(re.search(pattern[1], sentence) for sentence in sentences), sentences


@pytest.mark.parametrize("path", [TERRAFORM / "variables.tf", *(folder / "main.tf" for folder in EXAMPLES)], ids=str)
def test_time_zones_and_schedules_are_real(path: Path) -> None:
    """Cron strings and time zones are checked by no provider."""
    text = path.read_text(encoding="utf-8")
    zones = re.findall(r'time_zone\s+= "([^"]+)"', text)
    assert set(zones) <= available_timezones()
    for cron in re.findall(r'\bcron\s*=\s*(?:optional\(string, )?"([^"]+)"', text):
        fields = cron.split()
        assert len(fields) == 5, cron
        bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
        for value, (low, high) in zip(fields, bounds, strict=True):
            numbers = [] if value == "*" or value in {"SUN", "MON-FRI"} else value.split("-")
            assert all(low <= int(number) <= high for number in numbers), cron


def test_the_requests_that_terraform_sends_are_understood() -> None:
    """The messages of the schedules in Terraform's own tests; test_commands runs those of the outputs."""
    text = (TERRAFORM / "tests" / "deployment.tftest.hcl").read_text(encoding="utf-8")
    bodies = re.findall(r'"(\{\\"connector\\".*?\})"', text) + re.findall(r"--message='(\{.*?\})'", text)
    requests = [read_request(json.loads(body.replace('\\"', '"'))) for body in bodies]
    # Four of schedules, four of sweeps, two of present days, a reconciliation, a delivery, the output sync_now.
    assert len(requests) == 13
    assert {request.connector for request in requests} == {"hourly", "shop", "two-sites"}
    modes = {"incremental", "intraday", "sweep", "backfill", "reconcile", "deliver"}
    assert {request.mode for request in requests} == modes


def test_terraforms_connector_is_a_subset_of_the_programs_request() -> None:
    """Fields of a schedule that go into the request are the request's own."""
    text = terraform_text("locals.tf")
    fields = re.search(r"request = \{ for field, value in \{\n(.*?)\n\s+\} :", text, re.DOTALL)
    assert fields
    names = set(re.findall(r"(\w+)\s+=", fields[1]))
    assert names == {"connector", "days", "mode", "sites", "tables"}
    connectors = configuration.read(TERRAFORM).of("variable")
    assert "connectors" in {block.address for block in connectors}
