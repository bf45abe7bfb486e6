"""dbt, and a user's project that installs the package of this repository."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tools.environments import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dbt"
# What BigQuery's names begin with; its credentials are never used, since nothing is asked of it.
PROJECT, SCHEMA = "my-project", "analytics"
_SESSION = Path(__file__).with_name("dbt_session.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended.

    Attributes:
        success: whether dbt's exit code would be 0.
        nodes: status and message of each model and test, by its unique id.
        text: warnings and errors.
    """

    success: bool
    nodes: Mapping[str, Mapping[str, Any]]
    text: str


class Project:
    """A user's dbt project in a folder of its own."""

    def __init__(self, folder: Path, session: subprocess.Popen[str]) -> None:
        """Take over a session of dbt that runs in the folder."""
        self.folder = folder
        self._session = session

    def run(self, *arguments: str, variables: Mapping[str, Any] | None = None) -> Answer:
        """Run a command, as ``dbt ARGUMENTS`` would."""
        command = [*arguments, *(("--vars", json.dumps(variables)) if variables else ())]
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self._session.stdin.write(json.dumps(command) + "\n")
        self._session.stdin.flush()
        line = self._session.stdout.readline()
        assert line, "dbt's session ended"
        answer = json.loads(line)
        assert not answer["refused"], "dbt tried to reach another machine"
        text = "\n".join([*answer["messages"], answer["exception"] or ""])
        return Answer(answer["success"], answer["nodes"], text)

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def target(self, name: str) -> dict[str, Any]:
        """What a command left in ``target``: manifest.json, catalog.json."""
        found: dict[str, Any] = json.loads((self.folder / "target" / name).read_text(encoding="utf-8"))
        return found


@contextlib.contextmanager
def project(folder: Path, database: Path, schema: str) -> Iterator[Project]:
    """Write a project that has the package as a local one, and open a session of dbt in it.

    Args:
        folder: where the project goes.
        database: the DuckDB file.
        schema: the connector's dataset, which the package is told of.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    _write(
        folder / "dbt_project.yml",
        {"name": "shop", "version": "1.0.0", "profile": "shop", "vars": {"matomo_schema": schema}},
    )
    _write(folder / "packages.yml", {"packages": [{"local": str(PACKAGE)}]})
    outputs = {
        "duckdb": {"type": "duckdb", "path": str(database), "schema": SCHEMA, "threads": 1},
        "bigquery": {
            "type": "bigquery",
            "method": "oauth-secrets",
            "token": "none",
            "project": PROJECT,
            "dataset": SCHEMA,
            "threads": 1,
        },
    }
    _write(folder / "profiles.yml", {"shop": {"target": "duckdb", "outputs": outputs}})
    env = os.environ | {
        "DBT_PROFILES_DIR": str(folder),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_VERSION_CHECK": "false",
        "DBT_QUIET": "true",
    }
    # -P: what stands beside the session is not among what it imports; this file has dbt's name.
    command: list[str | Path] = [environment("dbt") / "bin" / "python", "-P", _SESSION]
    with subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as session:
        yield Project(folder, session)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
