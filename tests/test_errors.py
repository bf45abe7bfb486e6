"""What a user is told of an error."""

from __future__ import annotations

import pytest

from matomo_fn import errors
from matomo_fn.errors import InputError, MatomoFnError, MatomoUnavailable, SecretMissing, TokenRefused


@pytest.mark.parametrize("kind", [InputError, SecretMissing])
def test_bad_input_has_a_sentence_for_each_problem(kind: type[InputError]) -> None:
    """So that all are fixed at once."""
    assert kind(["one", "two"]).sentences == ("one", "two")
    assert kind("one").sentences == ("one",)


@pytest.mark.parametrize("kind", [MatomoFnError, MatomoUnavailable, TokenRefused])
def test_any_other_error_is_one_sentence(kind: type[MatomoFnError]) -> None:
    """Also one with a semicolon in it."""
    assert kind("one; two").sentences == ("one; two",)


def test_every_error_of_the_tree_has_its_sentences() -> None:
    """Those who report errors ask for nothing else."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MatomoFnError)]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind("a sentence").sentences == ("a sentence",)
