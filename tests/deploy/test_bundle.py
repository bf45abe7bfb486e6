"""The bundle: what is deployed, unpacked into a clean environment, started, and asked."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.configuration import ROOT
from tests.support.ports import LOCAL, free_ports
from tests.support.process import running
from tools import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.process import Process

UV = Path(sys.prefix) / "bin" / "uv"
START_SECONDS = 60.0
# As Terraform sets them.
SETTINGS = {
    "GOOGLE_CLOUD_PROJECT": "test-project",
    "MATOMO_FN_LOG_FORMAT": "json",
    "MATOMO_FN_SECRETS": "secret-manager",
    "MATOMO_FN_BUFFER_MEGABYTES": "128",
    "MATOMO_FN_TIME_BUDGET": "1710",
    "MATOMO_FN_WAREHOUSE": "bigquery",
}
# What the page is made of, beside the module that makes it.
PAGE = ("page.css", "page.html", "page.js", "uplot.LICENSE", "uplot.css", "uplot.js")
# As Cloud Functions sets them; it calls a function without an event trigger one of HTTP, also the one behind the push.
PLATFORM = {"FUNCTION_SIGNATURE_TYPE": "http", "LOG_EXECUTION_ID": "true"}


class Unpacked:
    """The unpacked bundle and an environment with what its requirements.txt names, nothing else."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "bundle.zip"
        self.source = folder / "source"
        self.bin = folder / "environment" / "bin"
        bundle.write(self.archive)
        with zipfile.ZipFile(self.archive) as archive:
            archive.extractall(self.source)
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, self.bin.parent], check=True)
        install: list[str | Path] = [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            self.bin / "python",
            "-r",
            "requirements.txt",
        ]
        subprocess.run(install, check=True, cwd=self.source)

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a program in it: a person's own do not count."""
        home = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        return home | {"PATH": f"{self.bin}:/usr/bin:/bin"} | more


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return Unpacked(tmp_path_factory.mktemp("bundle"))


def started(unpacked: Unpacked, target: str) -> Iterator[tuple[Process, str]]:
    (port,) = free_ports(1)
    command: list[str | Path] = [
        unpacked.bin / "functions-framework",
        f"--target={target}",
        f"--host={LOCAL}",
        f"--port={port}",
    ]
    environment = unpacked.environment(**SETTINGS, **PLATFORM)
    with running(command, port=port, seconds=START_SECONDS, env=environment, cwd=unpacked.source) as process:
        yield process, f"http://{LOCAL}:{port}/"


@pytest.fixture(scope="module")
def sync(unpacked: Unpacked) -> Iterator[tuple[Process, str]]:
    yield from started(unpacked, "sync")


@pytest.fixture(scope="module")
def sync_event(unpacked: Unpacked) -> Iterator[tuple[Process, str]]:
    yield from started(unpacked, "sync_event")


@pytest.fixture(scope="module")
def collect(unpacked: Unpacked) -> Iterator[tuple[Process, str]]:
    yield from started(unpacked, "collect")


def post(url: str, body: object) -> tuple[int, str]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def push(url: str, data: object) -> tuple[int, str]:
    """Send a message as a push subscription of Pub/Sub does."""
    message = {
        "data": base64.b64encode(json.dumps(data).encode()).decode(),
        "messageId": "1",
        "publishTime": "2026-11-20T04:30:00Z",
    }
    return post(url, {"message": message, "subscription": "projects/test-project/subscriptions/matomo-fn-requests"})


def lines(process: Process, event: str) -> list[dict[str, object]]:
    """The log lines of an event, once there are some."""
    for _ in range(200):
        found = [json.loads(line) for line in process.stdout.splitlines() if f'"{event}"' in line]
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"no {event} in:\n{process.stdout}\n{process.stderr}")


def test_the_bundle_imports_by_its_own_requirements_alone(
    unpacked: Unpacked, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every module of it; and prints what is deployed and how long `import main` takes, compiled as the build does."""
    modules = [name.removesuffix(".py").replace("/", ".") for name in bundle.files() if name.endswith(".py")]
    everything = "; ".join(f"import {name.removesuffix('.__init__')}" for name in modules)
    subprocess.run(
        [unpacked.bin / "python", "-c", everything], cwd=unpacked.source, env=unpacked.environment(), check=True
    )
    timed = "import time; start = time.perf_counter(); import main; print(time.perf_counter() - start)"
    command: list[str | Path] = [unpacked.bin / "python", "-c", timed]
    seconds = [
        float(
            subprocess.run(
                command, cwd=unpacked.source, env=unpacked.environment(), check=True, capture_output=True
            ).stdout
        )
        for _ in range(2)  # the first compiles it
    ]
    packages = sum(path.stat().st_size for path in (unpacked.bin.parent / "lib").rglob("*") if path.suffix != ".pyc")
    with capsys.disabled():
        sys.stdout.write(
            f"\nbundle: {len(bundle.files())} files, {unpacked.archive.stat().st_size / 1e3:.0f} kB; with its packages "
            f"{packages / 1e6:.0f} MB; import main {min(seconds):.2f} s\n"
        )
    assert unpacked.archive.stat().st_size < 550_000
    assert min(seconds) < 20


def test_sync_answers_a_request_that_cannot_work_with_a_sentence(sync: tuple[Process, str]) -> None:
    process, url = sync
    status, body = post(url, {"connector": "Shop"})
    assert status == 400
    (sentence,) = json.loads(body)["errors"]
    assert "'Shop' is not a connector name" in sentence
    (line,) = lines(process, "request_refused")
    assert line["severity"] == "ERROR"
    assert line["message"] == "request_refused"


def test_get_of_what_is_deployed_answers_a_browser_with_a_page(sync: tuple[Process, str]) -> None:
    """Of a connector whose name cannot be one, since Secret Manager is not there; its template is in the bundle."""
    process, url = sync
    request = urllib.request.Request(f"{url}?connector=No", headers={"Accept": "text/html"})
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "&#x27;No&#x27; is not a connector name" in answer.read().decode()
    (line,) = lines(process, "report_failed")
    assert line["severity"] == "WARNING"


def test_sync_event_takes_a_push_though_the_platform_calls_it_http(sync_event: tuple[Process, str]) -> None:
    """A message that can never succeed is done, with the line that the alert counts; Cloud Run's own fields beside."""
    process, url = sync_event
    status, _ = push(url, {"connector": "Shop"})
    assert status in (200, 204)
    (line,) = lines(process, "message_refused")
    assert line["severity"] == "ERROR"
    assert line["message"] == "message_refused"
    assert line["message_id"] == "1"


def test_collect_refuses_what_is_not_signed(collect: tuple[Process, str]) -> None:
    """Without a call of Secret Manager, which is not there."""
    process, url = collect
    status, body = post(f"{url}collect/shop", {"type": "track"})
    assert status == 401
    assert json.loads(body)["errors"][0].startswith("the signature is missing or wrong: ")
    (line,) = lines(process, "collect_refused")
    assert (line["severity"], line["status"]) == ("WARNING", 401)


def test_what_is_imported_by_the_first_request_only_can_be_imported(unpacked: Unpacked) -> None:
    late = ["events.pubsub", "pubsub", "config.secret_manager", "warehouse.bigquery"]
    imports = ", ".join(f"matomo_fn.{name}" for name in late)
    command: list[str | Path] = [unpacked.bin / "python", "-c", f"import {imports}"]
    subprocess.run(command, cwd=unpacked.source, env=unpacked.environment(), check=True)


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        bundle.write(tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == bundle.files()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def modules_behind(name: str) -> set[str]:
    """The files of the project that a file imports, itself included, also within functions and for types."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        path = waiting.pop()
        found.add(path)
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for each in names:
                parts = each.split(".")
                for depth in range(1, len(parts) + 1):
                    stem = "/".join(parts[:depth])
                    waiting |= {file for file in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / file).is_file()}
        waiting -= found
    return found


def test_what_the_entry_points_import_is_what_is_deployed() -> None:
    """Nothing is missing and nothing comes along: what is not for the function goes into bundle.json's exclude.

    DuckDB's module is imported only where the settings name a file of it, and says what to install.
    """
    needed = modules_behind("main.py") - {"matomo_fn/warehouse/duckdb.py"}
    shipped = {name for name in bundle.files() if name.endswith(".py")}
    assert shipped - needed == set(), (
        "deployed, but main.py does not import it: name it in terraform/bundle.json, exclude"
    )
    assert needed - shipped == set(), "main.py imports it, but it is not deployed"
    page = {f"matomo_fn/app/report/{name}" for name in PAGE}
    assert set(bundle.files()) - shipped == {"LICENSE", "requirements.txt", *page}


def test_no_data_file_of_the_program_is_left_behind() -> None:
    """The list takes Python files, and all of the page's; another kind beside them would be missing at run time."""
    folders = {Path(name).parent for name in bundle.files() if name.startswith("matomo_fn/")}
    others = {
        path.name for folder in folders for path in (ROOT / folder).iterdir() if path.is_file() and path.suffix != ".py"
    }
    assert others <= {"py.typed", *PAGE}
    assert {f"matomo_fn/app/report/{name}" for name in PAGE} <= set(bundle.files())
