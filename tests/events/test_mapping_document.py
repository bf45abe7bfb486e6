"""docs/events.md is the specification of the mapping: each row of its tables has an example, which is mapped here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from tests.events.mapping_examples import EXAMPLES, Example

if TYPE_CHECKING:
    from matomo_fn.events.model import Mapped

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
# A parameter of the tracking API in the middle column, with its value where that is always the same.
PARAMETER = re.compile(r"`([a-z_]+[0-9]*)(?:=([^`]+))?`")
CASES = [
    pytest.param(heading, name, example, id=name)
    for heading, examples in EXAMPLES.items()
    for name, example in examples.items()
]


def table(heading: str) -> dict[str, str]:
    """The middle cell of each row below a heading, by its first one."""
    body = DOCUMENT.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1] for row in cells if row[0] not in ("Segment", "---")}


def mapped(example: Example) -> Mapped:
    return map_call(read_call(example.whole_call), example.events_config)


@pytest.mark.parametrize("heading", EXAMPLES)
def test_each_row_has_an_example_and_each_example_a_row(heading: str) -> None:
    """A row that nobody maps, or an example of no row, fails."""
    assert table(heading), heading
    assert list(EXAMPLES[heading]) == list(table(heading))


@pytest.mark.parametrize(("heading", "name", "example"), CASES)
def test_an_example_becomes_what_its_row_says(heading: str, name: str, example: Example) -> None:
    """The hits, in their order, have the parameters of the row; a row without any has none, or leaves something out."""
    found = mapped(example)
    assert found.skipped == example.skipped
    assert [hit.kind for hit in found.hits] == [kind for kind, _ in example.hits]
    for hit, (_, parameters) in zip(found.hits, example.hits, strict=True):
        assert {key: hit.parameters.get(key) for key in parameters} == parameters
        assert not set(example.absent) & set(hit.parameters)
        assert not any("canary" in value for value in hit.parameters.values()), hit.parameters
    said = PARAMETER.findall(table(heading)[name])
    expected = {key: value for _, parameters in example.hits for key, value in parameters.items()}
    for parameter, value in said:
        assert parameter in expected, f"the row says {parameter}, the example does not test it"
        assert value in ("", expected[parameter])


@pytest.mark.parametrize(("heading", "name", "example"), CASES)
def test_the_words_of_a_row_name_the_kind_of_its_hits(heading: str, name: str, example: Example) -> None:
    """What stands before the parameters, such as "page view" or "order", is what the hits are."""
    words = table(heading)[name].partition(":")[0]
    kinds = {"page view": "page_view", "event": "event", "order": "order", "cart": "cart", "search": "site_search"}
    if words in kinds:
        assert {kind.value for kind, _ in example.hits} == {kinds[words]}
    elif "conversion" in words:
        assert [kind.value for kind, _ in example.hits] == ["event", "goal"]


def test_client_hints_are_those_that_the_document_names() -> None:
    """Each of them passes, and no other."""
    row = next(line for line in DOCUMENT.splitlines() if line.startswith("| `context.userAgentData`"))
    named = re.findall(r"`(\w+)`", row.rpartition("|")[0].rpartition("|")[2])
    given = dict.fromkeys(named, "x") | {
        "mobile": True,
        "brands": [{"brand": "a", "version": "1"}],
        "fullVersionList": [{"brand": "a", "version": "1"}],
    }
    call = {"type": "page", "name": "x", "context": {"userAgentData": given | {"wow64": "x"}}}
    (hit,) = mapped(Example(call)).hits
    assert sorted(re.findall(r'"(\w+)":(?!"1")', hit.parameters["uadata"])) == sorted([*named, "brand", "brand"])
