"""What the Google provider takes, from the provider's own schema.

PyPI's ``cdktf-cdktf-provider-google`` carries it as a description of its classes (``.jsii``, 99 MB of JSON in an
archive); nothing of the package is imported. It was made from hashicorp/google 6.50, the last one that there is, while
the project asks for 7.x: what both know is used, and `make terraform` holds it to 7.x itself.
"""

from __future__ import annotations

import functools
import json
import re
import tarfile
from dataclasses import dataclass
from importlib.metadata import files
from typing import Any

_LINK = re.compile(
    r"registry\.terraform\.io/providers/hashicorp/google/(?P<version>[\d.]+)/docs/(?P<part>data-sources|resources)/\w+(?:#(?P<field>\w+))?"
)
_TITLE = re.compile(r"\b(?P<name>google_\w+)\}")
# What cdktf's classes have beside the provider's own attributes.
_META = {"id"}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument: whether it has to be given, and the type of the block that it is, or None for an attribute."""

    required: bool
    block: str | None


class Schema:
    """Resources and data sources, their arguments and what they can be asked for."""

    def __init__(self, types: dict[str, dict[str, Any]]) -> None:
        self._types = types
        self._classes: dict[str, str] = {}
        self.version = ""
        for name, each in types.items():
            summary = each.get("docs", {}).get("summary", "")
            if each["kind"] != "class" or not (title := _TITLE.search(summary)):
                continue
            link = _LINK.search(summary)
            if link and link["version"]:
                self.version = link["version"]
                prefix = "data." if link["part"] == "data-sources" else ""
                self._classes[f"{prefix}{title['name']}"] = name

    def knows(self, kind: str) -> bool:
        """Whether there is such a resource (google_…) or data source (data.google_…)."""
        return kind in self._classes

    def arguments(self, kind: str) -> dict[str, Argument]:
        """The arguments of a resource or data source, by name."""
        return self.arguments_of(f"{self._classes[kind]}Config")

    @functools.cache  # noqa: B019 - one schema a run
    def arguments_of(self, type_name: str) -> dict[str, Argument]:
        """The arguments of a block, by name."""
        found = {}
        for item in self._types[type_name].get("properties", []):
            docs = item.get("docs", {})
            link = _LINK.search(f"{docs.get('summary', '')} {docs.get('remarks', '')}")
            if link and link["field"]:
                found[link["field"]] = Argument(not item.get("optional", False), self._block(item["type"]))
        return found

    def attributes(self, kind: str) -> set[str]:
        """What can be asked of a resource or data source: its arguments and what Google computes."""
        members = self._types[self._classes[kind]].get("properties", [])
        return {_snake(item["name"]) for item in members if not item.get("static")} | set(self.arguments(kind)) | _META

    def _block(self, of: dict[str, Any]) -> str | None:
        if "fqn" in of:
            name = str(of["fqn"])
            return name if name.startswith("@cdktf/provider-google.") and name in self._types else None
        if "collection" in of:
            inner = of["collection"]
            return self._block(inner["elementtype"]) if inner["kind"] == "array" else None
        blocks = (self._block(each) for each in of.get("union", {}).get("types", []))
        return next((block for block in blocks if block), None)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


@functools.cache
def google() -> Schema:
    """The schema of the Google provider; four seconds, once a run."""
    (archive,) = (path for path in files("cdktf-cdktf-provider-google") or [] if path.name.endswith(".jsii.tgz"))
    with tarfile.open(str(archive.locate())) as package:
        member = package.extractfile("package/.jsii")
        assert member is not None
        return Schema(json.load(member)["types"])
