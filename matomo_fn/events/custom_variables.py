"""Custom variables, for Matomo's plugin of that name: slots with a name and a value, of the page or event.

Where Segment's destination looks for them: its documentation says ``context.Matomo.customVars``, its example and its
source say ``integrations.Piwik.customVars`` or ``cvar``.
"""

from collections.abc import Mapping
from typing import Any

from matomo_fn.events.fields import as_object, as_text, at
from matomo_fn.values import encode

_PLACES = tuple(
    f"{place}.{name}.{key}"
    for key in ("customVars", "cvar")
    for place in ("integrations", "context")
    for name in ("Matomo", "Piwik")
)
# CustomVariables::getMaxLengthCustomVariables.
_MOST_CHARACTERS = 200


def variable_parameters(data: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Return the parameter cvar, of slots up to the limit; none where a call has no custom variables."""
    given = next((found for place in _PLACES if (found := as_object(at(data, place)))), {})
    slots = {str(slot): given[str(slot)] for slot in range(1, limit + 1) if str(slot) in given}
    variables = {slot: _variable(pair) for slot, pair in slots.items() if _is_variable(pair)}
    return {"cvar": encode(variables)} if variables else {}


def _is_variable(pair: object) -> bool:
    """Return whether something is a name and a value; an empty value is one, an empty name is none."""
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and bool(as_text(pair[0]))
        and (pair[1] == "" or bool(as_text(pair[1])))
    )


def _variable(pair: list[Any]) -> list[str]:
    return [as_text(part)[:_MOST_CHARACTERS] for part in pair]
