"""docs/architecture.md describes the contracts that import-linter holds, and names modules and classes that exist."""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
PROSE = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
ARROW = re.compile(r"^ +(.+?) --> (.+)$", re.MULTILINE)
HTTP = re.compile(r"^ +(\w+) -\. HTTP \.-> (\w+)", re.MULTILINE)


def contracts(kind: str) -> list[dict[str, Any]]:
    return [contract for contract in CONTRACTS if contract["type"] == kind]


def layers() -> list[set[str]]:
    """The layers of the contract, from the top."""
    (contract,) = contracts("layers")
    assert contract["containers"] == ["matomo_fn"]
    return [set(layer.split(" | ")) for layer in contract["layers"]]


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]
    assert len(rows) > 2, heading
    return rows[2:]


def test_the_table_has_the_layers_of_the_contract() -> None:
    """Every package stands in the layer that the contract gives it, from the top."""
    listed = [
        {CODE.findall(row[1])[0] for row in rows} for _, rows in groupby(table("Packages"), key=lambda row: int(row[0]))
    ]
    assert [int(number) for number, _ in groupby(row[0] for row in table("Packages"))] == list(
        range(1, len(listed) + 1)
    )
    assert listed == layers()


def test_the_picture_has_the_arrows_of_the_contract() -> None:
    """Each layer points at the one below it, and there is no other arrow."""
    names = dict(re.findall(r'(\w+)\["(\w+)"\]', PAGE))
    picture = re.sub(r'\["\w+"\]', "", PAGE)
    arrows = [
        tuple({names.get(name, name) for name in side.split(" & ")} for side in arrow)
        for arrow in ARROW.findall(picture)
    ]
    assert arrows == list(pairwise(layers()))


def test_the_page_has_the_packages_that_know_nothing_of_each_other() -> None:
    """The fake Matomo stands apart, in the contract as on the page."""
    (contract,) = contracts("independence")
    assert set(contract["modules"]) == {"fake_matomo", "matomo_fn"}
    names = dict(re.findall(r'(\w+)\["(\w+)"\]', PAGE))
    assert [(client, names[server]) for client, server in HTTP.findall(PAGE)] == [("matomo", "fake_matomo")]
    assert "`fake_matomo` stands apart: neither side imports the other" in " ".join(PAGE.split())


def test_the_page_names_the_modules_that_may_import_a_library() -> None:
    """The libraries with one home are those that the contracts forbid elsewhere, with the exceptions of each."""
    allowed: dict[str, set[str]] = {}
    for contract in contracts("forbidden"):
        assert contract["source_modules"] == ["matomo_fn"]
        for library in contract["forbidden_modules"]:
            allowed[library] = set()
        for line in contract["ignore_imports"]:
            module, _, library = line.partition(" -> ")
            allowed[library].add(module.removeprefix("matomo_fn."))
    listed = {CODE.findall(row[0])[0]: set(CODE.findall(row[1])) for row in table("Libraries with one home")}
    assert listed == allowed


@pytest.mark.parametrize("name", sorted({name for name in CODE.findall(PROSE) if "/" in name}))
def test_every_file_that_the_page_names_exists(name: str) -> None:
    """A path is one of the program, or of the project."""
    assert (ROOT / "matomo_fn" / name).exists() or (ROOT / name).exists()


def test_every_class_that_the_page_names_exists() -> None:
    """A name in camel case is a class of the program."""
    classes = {
        node.name
        for path in (ROOT / "matomo_fn").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    named = {name for name in CODE.findall(PROSE) if re.fullmatch(r"(?:[A-Z][a-z]+)+", name)}
    assert named
    assert named <= classes
