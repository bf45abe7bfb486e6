"""The documents say what the program does: names, defaults, sentences and links are held to the code, commands run."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import matomo_fn
from fake_matomo import FakeMatomo, Site, World
from matomo_fn.app.cli.group import COMMANDS, cli, find_command
from matomo_fn.catalogue import PREBUILT, REFERENCE_TABLES, SYNC_LOG, SYNC_QUALITY, SYNC_RUNS, SYNC_STATE, VISITS
from matomo_fn.config.connector import ConnectorConfig, VisitsConfig, read_connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.config.request import SyncRequest, read_request
from matomo_fn.config.settings import PREFIX, VARIABLES, Settings
from matomo_fn.config.site_selection import EVERY_SITE
from matomo_fn.warehouse.duckdb import to_duckdb
from tests.support.canary import CANARY
from tests.support.emulator import PROJECT, connect
from tests.support.server import serving
from tools import pictures, tables_doc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.analyzer import Analyzer
    from tests.support.proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# An option, also behind a command's other words; the lines of curl and gcloud have options of their own.
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(heading: str, text: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    body = f"\n{text}".partition(f"\n{heading}\n")[2]
    assert body, f"there is no heading {heading!r}"
    return re.split(rf"^#{{1,{heading.index(' ')}}} ", body, flags=re.MULTILINE)[0]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading of a page, without the tables' heads."""
    lines = [line for line in section(heading, text_of(page)).splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for index, row in enumerate(found) if not is_head(found, index)]


def is_head(found: list[list[str]], index: int) -> bool:
    return any("---" in row for row in found[index : index + 2])


def codes(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def fences(kind: str, text: str) -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == kind]


@cache
def templates() -> list[str]:
    """Every text of the program, with … where it puts a value in."""
    found = []
    for path in (ROOT / "matomo_fn").rglob("*.py"):
        if "sample" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))  # type: ignore[misc]  # of an f-string: text
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def logged_events() -> set[str]:
    """The name of every event that the program logs."""
    found = set()
    for path in (ROOT / "matomo_fn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=method), args=[ast.Constant(value=str(event)), *_]
                ) if method in LOG_METHODS:
                    found.add(event)
    # Logged by the method that fits their end.
    return found | {"run_finished", "audit_finished", "quality_checked", "events_collected"}


def shown(value: object) -> str:
    """A default as the documents write it."""
    return json.dumps(value) if isinstance(value, str | bool | tuple) else str(value)


# Names and defaults


def test_documents_have_every_setting_and_no_other() -> None:
    """The table of settings is that of the program, default for default."""
    table = {codes(row[0])[0]: row[1] for row in rows("docs/settings.md", "# Settings")}
    assert list(table) == list(VARIABLES.values())
    for field, variable in VARIABLES.items():
        default = Settings.model_fields[field].get_default(call_default_factory=True, validated_data={})
        if default or default == 0:
            assert codes(table[variable]) == [str(default).lower() if default is True else str(default)], variable
        else:
            assert not codes(table[variable]), variable


def test_documents_name_no_setting_that_does_not_exist() -> None:
    """A variable with the prefix that stands anywhere is one of the program's."""
    for path in DOCUMENTS:
        named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
        assert named <= set(VARIABLES.values()), path.name


_WITHOUT_DEFAULT = (
    "dataset",
    "reports",
    "visits",
    "periods",
    "segments",
    "reference_tables",
    "page_rows",
    "live_requests_per_minute",
    "require_partition_filter",
    "maximum_bytes_billed",
    "events",
)


def test_documents_have_every_configuration_key_and_no_other() -> None:
    """The table of the configuration is that of the program: keys, defaults and bounds."""
    table = {codes(row[0])[0]: row for row in rows("docs/configuration.md", "## Keys")}
    assert list(table) == list(ConnectorConfig.model_fields)
    for key, field in ConnectorConfig.model_fields.items():
        _, kind, default, _ = table[key]
        if field.is_required():
            assert default == "required", key
        elif key not in _WITHOUT_DEFAULT:  # worked out, words for all or none, none
            assert default == f"`{shown(field.default)}`", key
        bounds = [str(getattr(rule, name)) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)]
        if bounds:
            assert re.findall(r"\d+", kind) == bounds, key


def test_the_configuration_that_a_document_shows_is_one() -> None:
    """A reader who copies it gets a connector, with what the text says of it."""
    (example,) = fences("json", text_of("docs/configuration.md"))
    connector = read_connector("shop", example)
    assert (connector.sites, connector.dataset_name) == (EVERY_SITE, "matomo_shop")
    assert "visits" in connector.tables


def test_documents_have_every_key_of_visits_and_no_other() -> None:
    """The table of the object behind `visits` is that of the program, default for default."""
    table = {codes(row[0])[0]: row[2] for row in rows("docs/configuration.md", "## Raw visits")}
    assert list(table) == list(VisitsConfig.model_fields)
    for key, field in VisitsConfig.model_fields.items():
        assert table[key] == f"`{json.dumps(field.default)}`"


def test_documents_have_every_key_of_events_and_no_other() -> None:
    """The table of the object behind `events` is that of the program, default for default, bound for bound."""
    table = {codes(row[0])[0]: row for row in rows("docs/configuration.md", "## Events")}
    assert list(table) == list(EventsConfig.model_fields)
    for key, field in EventsConfig.model_fields.items():
        _, kind, default, _ = table[key]
        written = json.dumps(field.get_default(call_default_factory=True)) if not field.is_required() else None
        assert default == (f"`{written}`" if written else "required"), key
        bounds = [str(getattr(rule, name)) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)]
        if bounds:
            assert re.findall(r"\d+", kind) == bounds, key


def test_documents_have_every_field_of_a_request_and_no_other() -> None:
    """The table of the request is that of the program, defaults and modes included."""
    table = {codes(row[0])[0]: row for row in rows("docs/requests.md", "## The request") if len(row) == 4}
    assert list(table) == list(SyncRequest.model_fields)
    assert table["connector"][2] == "required"
    for key in ("mode", "dry_run"):
        assert table[key][2] == f"`{shown(SyncRequest.model_fields[key].default)}`"
    modes = SyncRequest.model_json_schema()["properties"]["mode"]["enum"]
    assert [codes(row[0])[0] for row in rows("docs/requests.md", "### Modes")] == modes


def test_readme_has_every_table_of_a_connector_that_names_none_and_no_other() -> None:
    """The list of what lands is the catalogue; the page of tables has the extended ones too."""
    assert [codes(row[0])[0] for row in rows("README.md", "## Tables")] == [
        *PREBUILT,
        VISITS.name,
        *(view.name for view in VISITS.views),
        *REFERENCE_TABLES,
        SYNC_LOG.name,
        SYNC_RUNS.name,
        SYNC_STATE,
        SYNC_QUALITY.name,
    ]


def test_documents_have_every_command_and_option_and_no_other() -> None:
    """The tables of commands and options are those of the program."""
    commands = [codes(row[0])[0] for row in rows("docs/command-line.md", "## Commands")]
    assert sorted(commands) == sorted(COMMANDS)
    options = {option for command in [cli, *map(find_command, COMMANDS)] for option in options_of(command)}
    listed = [option for row in rows("docs/command-line.md", "## Options") for option in codes(row[0])]
    assert sorted(listed) == sorted(options | {"--help"})


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def test_documents_name_no_option_that_does_not_exist() -> None:
    """An option behind ``matomo-fn`` in a command is one of that command."""
    for path in DOCUMENTS:
        for body in fences("sh", path.read_text(encoding="utf-8")):
            for line in body.replace("\\\n", " ").splitlines():
                if match := re.search(r"(?:^|\s)matomo-fn (\S+)(.*)", line):
                    command = find_command(match[1])
                    assert set(OPTION.findall(match[2])) <= options_of(command), line


def test_documents_have_every_event_of_the_log_and_no_other() -> None:
    """The table of events is what the program logs."""
    assert {codes(row[0])[0] for row in rows("docs/logs.md", "## Events")} == logged_events()


def test_every_sentence_of_the_troubleshooting_is_one_that_the_program_prints() -> None:
    """A user finds an error by its words, so the words have to be the program's."""
    sentences = [sentence for row in rows("docs/troubleshooting.md", "## Sentences") for sentence in codes(row[0])]
    assert len(sentences) > 25
    for sentence in sentences:
        if sentence not in ('"status": "partial"', '{"exclude": […]}'):  # of the answer and the configuration
            assert any(sentence in template for template in templates()), sentence


def test_the_answer_that_a_document_shows_has_the_keys_of_a_real_one(recent: Place) -> None:
    """The example is what the program answers, key for key."""
    (example,) = (json.loads(body) for body in fences("json", section("## The answer", text_of("docs/requests.md"))))
    recent.write_connector(reports=["visitor_country"])
    done = recent.run("matomo-fn sync shop --json")
    real = json.loads(done.stdout)
    assert list(real) == list(example)
    assert list(real["tables"]["visitor_country"]) == list(example["tables"]["visitor_country"])


# Files, links, versions


def test_the_document_of_the_tables_is_fresh() -> None:
    """docs/tables.md is what the catalogue gives; `make docs` writes it."""
    assert text_of("docs/tables.md") == tables_doc.document()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_resolves(path: Path) -> None:
    """A link leads to a file that is there, and to a heading that it has."""
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.is_relative_to(ROOT), target
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_readme_links_every_page_and_every_picture() -> None:
    """A reader gets from the README to each file of docs/."""
    linked = {target.partition("#")[0] for target in LINK.findall(text_of("README.md"))}
    found = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "pictures").iterdir()]
    assert {path.relative_to(ROOT).as_posix() for path in found} <= linked


def anchors(path: Path) -> set[str]:
    """The headings of a document as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_document_names_a_path_of_this_machine() -> None:
    """What is written here is read elsewhere."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for place in {str(ROOT), str(Path.home()), f"{ROOT.parent}/", "/home/", "/Users/"} - {"/"}:
            assert place not in text, (path.name, place)


def test_every_target_of_make_that_a_document_names_exists() -> None:
    """`make x` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        commands = [*codes(text), *"\n".join(fences("sh", text)).splitlines()]
        named = {command.split()[1] for command in commands if command.startswith("make ")}
        assert named <= targets, path.name


def test_the_worked_example_is_the_table_of_the_catalogue() -> None:
    """The table that the document shows is the one in the code, line for line."""
    (example,) = (text for text in fences("python", text_of("docs/contributing.md")) if "= Table(" in text)
    assert example in text_of("matomo_fn/catalogue/marketing.py")


def test_the_changelog_has_this_version_and_one_sentence_an_entry() -> None:
    """Whoever updates reads what changed for them, in one sentence each."""
    text = text_of("CHANGELOG.md")
    assert re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)[0] == matomo_fn.__version__
    entries = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    assert entries
    for entry in entries:
        assert entry.endswith("."), entry
        assert not re.search(r"\. [A-Z]", entry), entry


def test_decisions_are_numbered_one_after_the_other() -> None:
    """A number names one decision for good."""
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", text_of("docs/decisions.md"), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


# Pictures


def picture(name: str) -> list[str]:
    """The lines of text in a picture; a terminal's are cut where it has more than one space."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", text_of(f"docs/pictures/{name}.svg"))
    return [unescape(line).replace("\xa0", " ").strip() for line in found]


def test_the_picture_of_the_flow_is_fresh() -> None:
    """It is what the script draws; `make pictures` writes it."""
    assert text_of("docs/pictures/flow.svg") == pictures.flow()


def test_the_picture_of_the_demo_shows_todays_tables_and_headings() -> None:
    """A table that was added, or a heading that was changed, needs `make pictures`."""
    lines = picture("demo")
    assert [line.split()[0] for line in lines if line.split() and line.split()[0] in PREBUILT] == list(PREBUILT)
    headings = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    assert len(headings) > 4
    patterns = [re.compile(".+".join(map(re.escape, text.split("…")))) for text in templates() if text.strip("… -")]
    for heading in headings:
        assert any(pattern.fullmatch(heading) for pattern in patterns), heading


def test_pictures_are_small_and_load_nothing() -> None:
    """A page that shows them fetches no font, script or image from elsewhere; a screenshot is nothing but an image."""
    for path in (ROOT / "docs" / "pictures").iterdir():
        assert path.stat().st_size < 200_000
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
            continue
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"url\((?!#)|href|@import|<script|<image", text), path.name


# Commands


class Place:
    """A folder that looks like a fresh clone after `make setup`, with a sample Matomo for one's own."""

    def __init__(self, folder: Path, matomo: FakeMatomo) -> None:
        """Link what the commands of the documents need."""
        self.folder, self.matomo = folder, matomo
        for name in ("matomo_fn", "main.py"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "bin").mkdir()
        # The command as it is installed, of this checkout.
        self.stand_in("matomo-fn", f'exec {sys.executable} -m matomo_fn "$@"')

    def write_connector(self, **config: object) -> None:
        """Write the two secrets of the connector ``shop``."""
        (self.folder / "secrets").mkdir()
        values = {"matomo_url": self.matomo.url, "sites": "all", **config}
        (self.folder / "secrets" / "matomo-shop-config").write_text(json.dumps(values))
        (self.folder / "secrets" / "matomo-shop-token").write_text(CANARY)

    def stand_in(self, program: str, script: str) -> None:
        """Put a program in front of the one of that name, for what only its vendor's servers can do."""
        path = self.folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, commands: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run commands as a shell does, up to the first that fails."""
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
        local = {
            "MATOMO_FN_SECRETS": "secrets",
            "MATOMO_FN_WAREHOUSE": "duckdb:matomo.duckdb",
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=kept | local | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done


def place(folder: Path, created: date) -> Iterator[Place]:
    """A Matomo with one small site that is no older than that."""
    world = World((Site(1, "Shop", created=created, visits_per_day=5, pages=5),))
    with FakeMatomo(world, token=CANARY) as matomo:
        yield Place(folder, matomo)


@pytest.fixture
def recent(tmp_path: Path) -> Iterator[Place]:
    """A site of the last five days."""
    yield from place(tmp_path, YESTERDAY - timedelta(days=4))


def commands_of(page: str, heading: str) -> str:
    """The shell commands below a heading of a page."""
    return "\n".join(fences("sh", section(heading, text_of(page))))


def test_the_quick_start_with_ones_own_matomo_runs(recent: Place) -> None:
    """The commands of the README, from an empty folder to rows, with only the address put in and the token typed."""
    written = commands_of("README.md", "### Your own Matomo, on your machine")
    assert "https://matomo.example.com" in written
    connect, commands = written.replace("https://matomo.example.com", recent.matomo.url).split("\n", 1)
    # Without what the test's other commands get: the block has to set it itself. The token is typed.
    unset = "unset MATOMO_FN_SECRETS MATOMO_FN_WAREHOUSE"
    done = recent.run(f"{unset}\n{connect} <<< {CANARY}\n{commands}")
    assert "complete: " in done.stdout
    assert str(YESTERDAY) in done.stdout
    with duckdb.connect(str(recent.folder / "matomo.duckdb"), read_only=True) as warehouse:
        assert warehouse.execute("select count(*) from matomo_shop.visits_summary").fetchone() == (5,)


@pytest.mark.long
def test_the_quick_start_into_bigquery_runs(recent: Place, proxied_emulator: Proxy, dataset_name: str) -> None:
    """The same against the emulator; gcloud's login needs Google and is stood in for."""
    recent.stand_in("gcloud", 'test "$*" = "auth application-default login"')
    recent.write_connector(reports=["visits_summary", "visitor_country"], dataset=dataset_name)
    commands = commands_of("README.md", "### Into BigQuery").replace("my-project", PROJECT)
    done = recent.run(commands, BIGQUERY_EMULATOR_HOST=proxied_emulator.address)
    assert "complete: " in done.stdout
    client = connect(proxied_emulator.url)
    found = client.query_and_wait(f"select count(*) as rows_found from `{dataset_name}.visits_summary`")
    assert [row["rows_found"] for row in found] == [5]
    client.close()


def test_the_backfill_by_curl_runs(tmp_path: Path) -> None:
    """The documented call of the function: the identity token goes along, the window of the year is synced."""
    curl, publish = fences("sh", section("### A backfill", text_of("docs/requests.md")))
    for there in place(tmp_path, date(2025, 12, 29)):
        there.write_connector(reports=["visitor_country"])
        there.stand_in("gcloud", 'test "$*" = "auth print-identity-token" && echo an-identity-token')
        env = {
            "MATOMO_FN_SECRETS": str(tmp_path / "secrets"),
            "MATOMO_FN_WAREHOUSE": f"duckdb:{tmp_path / 'matomo.duckdb'}",
        }
        with serving("sync", env=env) as url:
            answer = json.loads(there.run(curl, URL=url).stdout)
        assert answer["status"] == "complete"
        assert (answer["first_day"], answer["last_day"]) == ("2025-12-29", "2025-12-31")
        there.stand_in("gcloud", 'printf "%s\\n" "$@"')
        arguments = there.run(publish, TOPIC="topic").stdout.splitlines()
        assert arguments[:-1] == ["pubsub", "topics", "publish", "topic", "--message"]
        assert read_request(json.loads(arguments[-1])).mode == answer["mode"] == "backfill"


def test_the_command_for_dbt_runs(recent: Place) -> None:
    """It writes the file that the document says, with the connector's dataset."""
    recent.write_connector()
    recent.run(commands_of("docs/command-line.md", "## dbt"))
    written = (recent.folder / "sources.yml").read_text()
    assert "database: my-project\n  schema: matomo_shop\n" in written


# Queries

QUERIES = [
    (part.partition("\n")[0], query)
    for part in text_of("docs/looker-studio.md").split("\n## ")[1:]
    for query in fences("sql", part)
]
DATASET = "my-project.matomo_shop"


def columns_for_analyzer() -> dict[str, list[tuple[str, str, str]]]:
    tables = {table.name: table.columns for table in PREBUILT.values()} | {SYNC_STATE: SYNC_LOG.columns}
    return {
        f"{DATASET}.{name}": [(column.name, str(column.type), "NULLABLE") for column in columns]
        for name, columns in tables.items()
    }


def test_every_query_of_the_document_is_found() -> None:
    """None of the blocks is passed over by the tests below."""
    assert len(QUERIES) == text_of("docs/looker-studio.md").count("```sql") >= 7


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_passes_the_analyzer(
    title: str, query: str, analyzer: Callable[[Mapping[str, Any]], Analyzer]
) -> None:
    """BigQuery would run it: tables, columns and types are right."""
    assert analyzer(columns_for_analyzer()).columns(query), title


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Ten days of two sites, one of which Matomo has not processed, and one with more pages than it keeps."""
    folder = tmp_path_factory.mktemp("looker")
    first = YESTERDAY - timedelta(days=9)
    busy = Site(1, "Shop", created=first, visits_per_day=30, pages=620, folders=False, busy_on=frozenset({YESTERDAY}))
    world = World((busy, Site(2, "Docs", created=first, visits_per_day=6, pages=5)))
    with FakeMatomo(world, token=CANARY) as matomo:
        matomo.unprocess(2, YESTERDAY)
        there = Place(folder, matomo)
        there.write_connector()
        there.run("matomo-fn sync shop || test $? = 1")  # partial: a day is pending
    with duckdb.connect(str(folder / "matomo.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def answer(connection: duckdb.DuckDBPyConnection, title: str, first: date, last: date) -> list[dict[str, Any]]:
    query = dict(QUERIES)[title]
    for name, day in (("@DS_START_DATE", first), ("@DS_END_DATE", last)):
        query = query.replace(name, f"'{day:%Y%m%d}'")
    result = connection.execute(to_duckdb(query))
    columns = [column[0] for column in result.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


@pytest.mark.parametrize("title", [title for title, _ in QUERIES])
def test_every_query_finds_rows(title: str, synced: duckdb.DuckDBPyConnection) -> None:
    """It runs on real tables and has an answer for the last days."""
    assert answer(synced, title, YESTERDAY - timedelta(days=4), YESTERDAY)


def test_the_trend_stands_beside_the_days_before(synced: duckdb.DuckDBPyConnection) -> None:
    """The previous period is as long as the chosen one and ends right before it."""
    found = answer(synced, "Trend with the previous period", YESTERDAY - timedelta(days=4), YESTERDAY)
    visits = {
        (site, day): count
        for site, day, count in synced.execute(
            "select website_id, date, nb_visits from matomo_shop.visits_summary"
        ).fetchall()
    }
    assert len(found) == 9  # five days of one site, four of the other
    for row in found:
        assert row["visits"] == visits[row["website_id"], row["date"]]
        assert row["previous_visits"] == visits[row["website_id"], row["date"] - timedelta(days=5)]


def test_totals_hold_others_and_rankings_do_not(synced: duckdb.DuckDBPyConnection) -> None:
    """What Matomo's row limit cut off is named as such."""
    (cut,) = (
        row for row in answer(synced, 'How much is in "Others"', YESTERDAY, YESTERDAY) if row["website_id"] == "1"
    )
    ranked = answer(synced, "Pages", YESTERDAY, YESTERDAY)
    assert cut["pageviews_in_others"] > 0
    assert "Others" not in {row["page_url"] for row in ranked}


def test_the_days_that_are_not_there_are_named(synced: duckdb.DuckDBPyConnection) -> None:
    """An unprocessed day is pending in every table, with the reason."""
    found = answer(synced, "Missing days", YESTERDAY, YESTERDAY)
    assert {(row["website_id"], row["status"]) for row in found} == {("2", "pending")}
    assert {row["table_name"] for row in found} == set(PREBUILT)
    assert all("has not processed" in row["error"] for row in found)
