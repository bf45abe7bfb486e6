"""What a process imports, and what it does not: a start takes as long as that."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.server import ROOT

GOOGLE = {
    "google.api_core",
    "google.auth",
    "google.cloud.bigquery",
    "google.cloud.secretmanager_v1",
    "google.pubsub_v1",
}
LOCAL_ONLY = {"duckdb", "sqlglot", "tqdm", "yaml"}
HTTP = {"requests", "urllib3"}
SHOWN = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def imported_by(code: str) -> set[str]:
    """The modules that a fresh process has after it ran some code, and their packages."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOWN}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def parts(modules: set[str]) -> set[str]:
    """The packages and modules of the first level below matomo_fn."""
    return {name.split(".")[1] for name in modules if name.startswith("matomo_fn.")}


def test_the_function_begins_with_its_framework_and_little_more() -> None:
    """`import main` is what every new instance waits for before it takes a request, of whichever entry point."""
    modules = imported_by("import main")
    assert {"flask", "functions_framework", "cloudevents"} <= modules
    assert not modules & (GOOGLE | LOCAL_ONLY | HTTP | {"grpc", "pydantic"})
    assert not parts(modules) & {"catalogue", "config", "events", "extract", "matomo", "sync", "warehouse"}


def test_a_request_to_sync_imports_no_events_and_no_client_of_google_before_it_is_needed() -> None:
    """BigQuery's is imported when the warehouse is opened, Secret Manager's when a secret is read."""
    modules = imported_by("import main, matomo_fn.app.handlers")
    assert not modules & (GOOGLE | LOCAL_ONLY | {"grpc", "click.testing"})
    assert "events" not in parts(modules)


def test_a_request_to_collect_imports_nothing_of_a_sync() -> None:
    """Segment's webhooks wait for the first answer of an instance, too."""
    modules = imported_by("import main, matomo_fn.app.collect")
    assert not modules & (GOOGLE | LOCAL_ONLY | HTTP)
    assert not parts(modules) & {"extract", "matomo", "sync"}


def test_a_run_into_duckdb_imports_no_client_of_google() -> None:
    """And one into BigQuery no DuckDB; each is imported when the warehouse is opened."""
    code = "\n".join(
        (
            "from matomo_fn.app.open_warehouse import open_warehouse",
            "from matomo_fn.config.connector import read_connector",
            "from matomo_fn.config.settings import Settings",
            "from matomo_fn.deadline import Deadline",
            "import matomo_fn.app.cli.commands, sys",
            "assert not {'duckdb', 'sqlglot'} & set(sys.modules)",
            """connector = read_connector("shop", '{"matomo_url": "https://example.com", "sites": "all"}')""",
            "settings = Settings(warehouse='duckdb:none', secrets='.')",
            "open_warehouse(settings, connector, run_id='r', deadline=Deadline(), create=False).close()",
        )
    )
    modules = imported_by(code)
    assert {"duckdb", "sqlglot"} <= modules
    assert not modules & (GOOGLE | {"flask", "grpc", "yaml"})
    assert "events" not in parts(modules)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_import_click_and_no_command(option: str) -> None:
    """A shell that asks for them should not wait."""
    called = f"import sys; sys.argv = ['matomo-fn', {option!r}]\nfrom matomo_fn.__main__ import main"
    modules = imported_by(f"{called}\ntry: main()\nexcept SystemExit: pass")
    assert {name for name in modules if name.startswith("matomo_fn.")} == {
        "matomo_fn.__main__",
        "matomo_fn.app",
        "matomo_fn.app.cli",
        "matomo_fn.app.cli.group",
    }
    assert not modules & (HTTP | LOCAL_ONLY | {"pydantic", "structlog"})


@pytest.mark.parametrize(
    ("command", "others"),
    [("sync", {"duckdb", "yaml"}), ("query", {"requests", "sqlglot", "yaml"}), ("dbt-sources", {"duckdb", "requests"})],
)
def test_a_command_imports_what_it_needs(command: str, others: set[str]) -> None:
    """And not what the other commands do."""
    modules = imported_by(f"from matomo_fn.app.cli.group import find_command\nfind_command({command!r})")
    assert not modules & (others | GOOGLE)
    assert "events" not in parts(modules)
