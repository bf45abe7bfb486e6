"""Reading what users write: JSON objects, models, and hints at what was meant."""

import pytest
from pydantic import BaseModel, ConfigDict

from matomo_fn.config.validation import read_model, read_object, suggestion
from matomo_fn.errors import InputError


class Model(BaseModel):
    """Some keys of each kind."""

    model_config = ConfigDict(extra="forbid", strict=True)

    count: int = 1
    name: str = ""
    on: bool = False
    share: float = 0.0


@pytest.mark.parametrize("text", ['{"a": 1}', b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}', ' \n{"a": 1}\n'])
def test_a_json_object_is_read(text: str | bytes) -> None:
    """Text or bytes, with white space around or a byte order mark in front."""
    assert read_object(text, "it") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is empty: it has to be a JSON object"),
        (b" \r\n", "it is empty: it has to be a JSON object"),
        ('{"a": 1,}', "it is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 9)"),
        ('{\n"a" 1}', "it is not valid JSON: Expecting ':' delimiter (line 2, column 5)"),
        (b"\xff", "it is not UTF-8 text"),
        ("[" * 200_000, "it is not valid JSON: it is nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "it is not valid JSON: it has a number with too many digits"),
        ("[]", "it has to be a JSON object, not a list"),
        ('"a"', "it has to be a JSON object, not a string"),
        ("1", "it has to be a JSON object, not a number"),
        ("1.5", "it has to be a JSON object, not a number"),
        ("true", "it has to be a JSON object, not true or false"),
        ("null", "it has to be a JSON object, not null"),
        ('{"a": 1, "b": 2, "a": 1}', 'it: the key "a" stands there more than once: keep one of them'),
        ('{"a": {"x": [{"b": 1, "b": 2}]}}', 'it: the key "b" stands there more than once: keep one of them'),
    ],
)
def test_what_is_no_json_object_is_said_in_one_sentence(text: str | bytes, sentence: str) -> None:
    """The sentence names the text by the name that it is given, and the place where it breaks."""
    with pytest.raises(InputError) as raised:
        read_object(text, "it")
    assert raised.value.problems == (sentence,)


@pytest.mark.parametrize("values", [{"x" * 10**6: 1}, {"name": ["x" * 10**6]}, {f"k{n}": n for n in range(5_000)}])
def test_what_is_long_is_not_repeated(values: dict[str, object]) -> None:
    """A request of megabytes does not become a log entry of megabytes."""
    with pytest.raises(InputError) as raised:
        read_model(Model, values, "it")
    assert max(map(len, raised.value.problems)) <= 500
    assert len(raised.value.problems) <= 21
    if len(values) > 1:
        assert raised.value.problems[-1] == "it: and 4980 more problems"


def test_every_problem_of_a_model_is_reported_at_once() -> None:
    """One sentence a key; nobody has to fix and try four times."""
    with pytest.raises(InputError) as raised:
        read_model(Model, {"count": "3", "name": None, "on": 1, "share": "a lot", "nmae": "x"}, "it")
    assert raised.value.problems == (
        'it: count has to be a whole number, not "3"',
        "it: name has to be a string, not null",
        "it: on has to be true or false, not 1",
        'it: share: should be a valid number, not "a lot"',
        "it: unknown key 'nmae': did you mean 'name'?",
    )
    assert str(raised.value) == "; ".join(raised.value.problems)


def test_a_long_value_is_cut_in_the_sentence() -> None:
    """Whoever pastes a page into a number gets a sentence back and not the page."""
    with pytest.raises(InputError) as raised:
        read_model(Model, {"count": "x" * 1_000}, "it")
    (sentence,) = raised.value.problems
    assert sentence == f'it: count has to be a whole number, not "{"x" * 56}...'


def test_values_that_fit_are_returned_as_the_model() -> None:
    """What is not given has its default."""
    assert read_model(Model, {"count": 2}, "it") == Model(count=2)


def test_a_suggestion_is_the_closest_name_or_all_of_them() -> None:
    """Sorted, so that the sentence is the same each time."""
    assert suggestion("nmae", ["size", "name"]) == "did you mean 'name'?"
    assert suggestion("qqq", ["size", "name"]) == "known are name, size"
