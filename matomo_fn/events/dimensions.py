"""Custom dimensions: values of a call, at paths that the configuration names."""

from collections.abc import Mapping
from typing import Any

from matomo_fn.events.fields import as_text, at

# Matomo keeps 250 characters (plugins/CustomDimensions/Tracker/CustomDimensionsRequestProcessor.php, prepareValue).
_MOST_CHARACTERS = 250


def dimension_parameters(data: Mapping[str, Any], dimensions: Mapping[str, int]) -> dict[str, str]:
    """Return the parameters dimension1, dimension2, ... of a call that has values for them."""
    found = {f"dimension{number}": _value(data, path) for path, number in dimensions.items()}
    return {name: value for name, value in found.items() if value}


def _value(data: Mapping[str, Any], path: str) -> str:
    value = at(data, path)
    if value is None and path.startswith("traits."):
        value = at(data, f"context.{path}")  # where every call but identify has the traits
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_text(value)[:_MOST_CHARACTERS].rstrip()
