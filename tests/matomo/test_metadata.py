"""Matomo's metadata: texts that are HTML, from a server that may mean harm."""

from __future__ import annotations

from time import process_time

from matomo_fn.matomo.metadata import read_metadata


def described(text: str) -> str:
    (report,) = read_metadata([{"module": "A", "action": "get", "documentation": text}])
    return report.documentation


def test_a_text_has_no_tags() -> None:
    assert (
        described('All <b class="x">visits</b> of\n a day<br/>&amp; more: 1 < 2') == "All visits of a day & more: 1 < 2"
    )


def test_a_text_of_tags_that_are_never_closed_is_searched_once() -> None:
    """Each was searched to the end of the text: hours for a megabyte, in which no thread could go on."""
    started = process_time()
    assert described("<" * 200_000) == "<" * 200_000
    assert process_time() - started < 2
