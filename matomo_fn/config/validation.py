"""Reading what users write: every problem at once, each a sentence that names the key and says what to do."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from matomo_fn.errors import InputError

Model = TypeVar("Model", bound=BaseModel)

# Problems that are told one by one; characters of a sentence, and of them those that are kept of its end.
_MOST_PROBLEMS = 20
_LONGEST, _TAIL = 500, 150


class Problems(ValueError):
    """Several things that are wrong with one value; each becomes a sentence of its own."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("; ".join(self.sentences))


def read_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that a text holds; ``what`` names the text in the errors."""
    if not text.strip():
        raise InputError(f"{what} is empty: it has to be a JSON object")
    try:
        value = json.loads(text, object_pairs_hook=partial(_unique, what))
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{what} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise InputError(f"{what} is not valid JSON: it is nested too deeply") from None
    except ValueError:  # Python converts no more than 4,300 digits
        raise InputError(f"{what} is not valid JSON: it has a number with too many digits") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} has to be a JSON object, not {_json_type(value)}")
    return value


def read_model(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """Return the model that the values describe, or raise an InputError with every problem."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = [sentence for problem in error.errors() for sentence in _sentences(problem, what, model)]
        sentences = [shortened(sentence) for sentence in found]
        more = (
            [f"{what}: and {len(sentences) - _MOST_PROBLEMS} more problems"] if len(sentences) > _MOST_PROBLEMS else []
        )
        raise InputError([*sentences[:_MOST_PROBLEMS], *more]) from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that an unknown one most resembles, or at all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"


def _unique(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of some keys and values; which one of two equal keys was meant, nobody can tell."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{what}: the key {_shown(double)} stands there more than once: keep one of them")
    return values


_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "tuple_type": "a list",
}


def _sentences(problem: Any, what: str, model: type[BaseModel]) -> list[str]:
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, ValidationError):  # of an object within the value
        inner = [part | {"loc": (*problem["loc"], *part["loc"])} for part in error.errors()]
        return [sentence for part in inner for sentence in _sentences(part, what, model)]
    if isinstance(error, Problems):
        path = ".".join(str(part) for part in problem["loc"])
        where = f"{what}: {path}" if path else what  # several keys that do not go together have no path
        return [f"{where}: {sentence}" for sentence in error.sentences]
    return [_sentence(problem, what, model)]


def _sentence(problem: Any, what: str, model: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    kind, context = problem["type"], problem.get("ctx", {})
    given = problem["input"]
    match kind:
        case "missing":
            return f"{what}: {path} is missing"
        case "extra_forbidden":
            *parents, name = (str(part) for part in problem["loc"])
            return f"{what}: unknown key {path!r}: {suggestion(name, _keys(model, parents))}"
        case "value_error":
            return f"{what}: {path}: {context['error']}" if path else f"{what}: {context['error']}"
        case "literal_error":
            return f"{what}: {path} has to be {context['expected']}, not {_shown(given)}"
        case "greater_than_equal":
            return f"{what}: {path} has to be {context['ge']} or more, not {_shown(given)}"
        case "less_than_equal":
            return f"{what}: {path} has to be {context['le']} or less, not {_shown(given)}"
        case _ if kind in _TYPES:
            return f"{what}: {path} has to be {_TYPES[kind]}, not {_shown(given)}"
        case _:
            return f"{what}: {path}: {problem['msg'].removeprefix('Input ').strip()}, not {_shown(given)}"


def shortened(sentence: str) -> str:
    """Return a sentence that repeats of a long value no more than its beginning."""
    if len(sentence) <= _LONGEST:
        return sentence
    end = sentence[-_TAIL:]  # what to do about it
    return f"{sentence[: _LONGEST - _TAIL - 3]}...{end}"


def _keys(model: type[BaseModel], path: Iterable[str]) -> list[str]:
    """Return the keys of the object at a path; those of the whole where the path leads to no model.

    Positions in lists, and keys of objects that may have any, are passed over.
    """
    for name in path:
        fields = {field.alias or key: field for key, field in model.model_fields.items()}
        models = list(_models(fields[name].annotation)) if name in fields else []
        if models:
            model = models[0]
    return [field.alias or key for key, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type, also those of the elements of lists and objects."""
    if _is_model(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _json_type(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
