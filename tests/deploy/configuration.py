"""Terraform's files as blocks and references; python-hcl2 reads them, no Terraform is needed."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
COMMANDS = TERRAFORM / "modules" / "commands"
EXAMPLES = sorted(path.parent for path in TERRAFORM.glob("examples/*/main.tf"))

_COMMENT = re.compile(r"^\s*#.*$|\s#\s.*$", re.MULTILINE)
_LABELS = {"resource": 2, "data": 2, "variable": 1, "output": 1, "module": 1, "provider": 1}


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its labels, attributes (as python-hcl2 writes their expressions) and nested blocks by name."""

    kind: str
    labels: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    @property
    def address(self) -> str:
        """How Terraform names it."""
        return ".".join(self.labels)

    def text(self, name: str) -> str:
        """The text of an attribute that is a plain string."""
        value = self.attributes[name]
        assert isinstance(value, str), (self.address, name)
        return _bare(value)

    def walk(self) -> Iterator[Block]:
        """The block and every block in it; of a dynamic block what it makes."""
        yield self
        for block in self.blocks:
            yield from block.walk()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A folder of Terraform files: its blocks, and its text without comments."""

    blocks: list[Block]
    text: str

    def of(self, kind: str) -> list[Block]:
        """The blocks of a kind at the top."""
        return [block for block in self.blocks if block.kind == kind]


def read(folder: Path) -> Configuration:
    """Read the .tf files of a folder."""
    return read_texts([path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf"))])


def read_texts(texts: list[str]) -> Configuration:
    """Read the texts of .tf files."""
    blocks = [block for text in texts for block in _parsed(text)]
    return Configuration(blocks, "\n".join(_COMMENT.sub("", text) for text in texts))


@functools.cache
def _parsed(text: str) -> tuple[Block, ...]:
    return tuple(_top(hcl2.loads(text)))


def _top(document: dict[str, Any]) -> list[Block]:
    found = []
    for kind, items in document.items():
        if kind.startswith("__"):
            continue
        for body in items:
            labels = []
            for _ in range(_LABELS.get(kind, 0)):
                ((label, body),) = ((key, value) for key, value in body.items() if not key.startswith("__"))
                labels.append(_bare(label))
            found.append(_block(kind, tuple(labels), body))
    return found


def _block(kind: str, labels: tuple[str, ...], body: dict[str, Any]) -> Block:
    block = Block(kind, labels)
    for name, value in body.items():
        if name.startswith("__"):
            continue
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            if name == "dynamic":
                for item in value:
                    ((label, dynamic),) = ((key, each) for key, each in item.items() if not key.startswith("__"))
                    block.blocks.append(_block(_bare(label), (), dynamic["content"][0]))
                continue
            if any("__is_block__" in item for item in value):
                block.blocks.extend(_block(name, (), item) for item in value)
                continue
        block.attributes[name] = value
    return block


def _bare(value: str) -> str:
    return value[1:-1] if value.startswith('"') and value.endswith('"') else value


# Dots between words, and an index such as [0] or ["runs"] on the way.
_PATH = re.compile(
    r"(?<![\w.\"-])((?:data\.)?(?:google|archive|time)_[a-z0-9_]+)\.([a-z_]+)((?:\[[^\]]*\])?(?:\.[a-z_0-9]+)*)"
)
_NAMED = re.compile(r"(?<![\w.-])(var|local|output|module)\.([a-z_0-9]+)")


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource or data source that an expression names, and the attribute that it asks of it, if it does."""

    kind: str
    name: str
    attribute: str | None


def resources_named(text: str) -> set[Reference]:
    """The resources and data sources that expressions name."""
    found = set()
    for kind, name, rest in _PATH.findall(text):
        attribute = re.match(r"(?:\[[^\]]*\])?\.([a-z_0-9]+)", rest)
        found.add(Reference(kind, name, attribute.group(1) if attribute else None))
    return found


def names_used(text: str, kind: str) -> set[str]:
    """The variables (``var``), locals (``local``), outputs or modules that expressions name."""
    return {name for found, name in _NAMED.findall(text) if found == kind}
