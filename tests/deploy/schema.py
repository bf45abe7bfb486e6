"""What the providers take, from their own schemas.

``providers.json`` is what `terraform providers schema -json` says of the types that the deployment uses, without
descriptions. After `make terraform` with newer providers, or for a type that is not in it, write it anew:

    python -m tests.deploy.schema
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.configuration import TERRAFORM, read

RECORDED = Path(__file__).with_name("providers.json")


@dataclass(frozen=True, slots=True)
class Block:
    """A type, or a block in one: what can be set, what has to be, what can be asked for, and the blocks in it."""

    settable: frozenset[str]
    required: frozenset[str]
    attributes: frozenset[str]
    blocks: dict[str, Block]


@dataclass(frozen=True, slots=True)
class Schema:
    """Resources (google_…) and data sources (data.google_…) by name, and the providers' versions."""

    versions: dict[str, str]
    types: dict[str, Block]


@functools.cache
def recorded() -> Schema:
    """The schema of what the deployment uses."""
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    return Schema(document["versions"], {name: _block(each) for name, each in document["types"].items()})


def _block(recorded: dict[str, Any]) -> Block:
    attributes, blocks = recorded.get("attributes", {}), recorded.get("blocks", {})
    return Block(
        frozenset(name for name, kind in attributes.items() if kind != "computed"),
        frozenset(
            [name for name, kind in attributes.items() if kind == "required"]
            + [name for name, each in blocks.items() if each.get("required")]
        ),
        frozenset([*attributes, *blocks]),
        {name: _block(each) for name, each in blocks.items()},
    )


def _shortened(block: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        name: next(kind for kind in ("required", "optional", "computed") if each.get(kind))
        for name, each in sorted(block.get("attributes", {}).items())
    }
    blocks = {
        name: _shortened(each["block"]) | ({"required": True} if each.get("min_items") else {})
        for name, each in sorted(block.get("block_types", {}).items())
        if name != "timeouts"
    }
    return ({"attributes": attributes} if attributes else {}) | ({"blocks": blocks} if blocks else {})


def _terraform(*arguments: str) -> dict[str, Any]:
    answer = subprocess.run(
        ["terraform", f"-chdir={TERRAFORM}", *arguments, "-json"],
        check=True,
        capture_output=True,
        text=True,
    )
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def main() -> None:
    """Write providers.json for the types that Terraform's files name."""
    schemas = _terraform("providers", "schema")["provider_schemas"].values()
    there = {name: each for schema in schemas for name, each in schema["resource_schemas"].items()}
    there |= {
        f"data.{name}": each for schema in schemas for name, each in schema.get("data_source_schemas", {}).items()
    }
    configuration = read(TERRAFORM)
    used = {block.labels[0] for block in configuration.of("resource")}
    used |= {f"data.{block.labels[0]}" for block in configuration.of("data")}
    if unknown := used - there.keys():
        sys.exit(f"no provider has {', '.join(sorted(unknown))}")
    versions = _terraform("version")["provider_selections"]
    document = {
        "versions": {name.rpartition("/")[2]: version for name, version in sorted(versions.items())},
        "types": {name: _shortened(there[name]["block"]) for name in sorted(used)},
    }
    RECORDED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
