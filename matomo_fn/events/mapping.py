"""From a call of Segment to hits of Matomo's tracking API; docs/events.md has the whole table.

The same call always becomes the same hits: what is not in the call or the configuration is in no hit. The parameters of
the tracking API: https://developer.matomo.org/api-reference/tracking-api
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.custom_variables import variable_parameters
from matomo_fn.events.dimensions import dimension_parameters
from matomo_fn.events.fields import as_object, as_text, first_text
from matomo_fn.events.model import Call, CallType, Hit, HitKind, Mapped
from matomo_fn.events.page_url import page_url, screen_url
from matomo_fn.events.stored import cut
from matomo_fn.events.track import Part, track_parts
from matomo_fn.events.visitor import common_parameters

# Hits that leave an action, which is what custom variables of the scope "page" belong to.
_ACTIONS = (HitKind.PAGE_VIEW, HitKind.EVENT, HitKind.SITE_SEARCH)


def map_call(call: Call, config: EventsConfig) -> Mapped:
    """Return the hits that a call becomes, in their order, or the reason why there are none."""
    if not _is_wanted(as_object(call.data.get("integrations"))):
        return Mapped(skipped="integrations turns Matomo off")
    dimensions = dimension_parameters(call.data, config.dimensions)
    parts = _parts(call, config, dimensions)
    if isinstance(parts, str):
        return Mapped(skipped=parts)
    common = common_parameters(call, config) | dimensions
    variables = variable_parameters(call.data, config.custom_variable_limit)
    moment = call.occurred_at.replace(microsecond=0)
    return Mapped(
        tuple(
            Hit(part.kind, moment, {**common, **(variables if part.kind in _ACTIONS else {}), **part.parameters})
            for part in parts
        )
    )


def _parts(call: Call, config: EventsConfig, dimensions: Mapping[str, str]) -> Sequence[Part] | str:
    """Return what the hits of a call are, or why there are none."""
    match call.type:
        case CallType.PAGE:
            return _page(call.data)
        case CallType.SCREEN:
            return _screen(call.data)
        case CallType.TRACK:
            return track_parts(call, config.goals)
        case CallType.IDENTIFY:
            return _identify(call, dimensions)
        case CallType.GROUP | CallType.ALIAS:
            return f"{call.type} is not supported"


def _page(data: Mapping[str, Any]) -> Sequence[Part] | str:
    title = first_text(data, "properties.title", "context.page.title") or _full_name(data)
    title = title or first_text(data, "properties.path", "context.page.path")
    if not title and not page_url(data, "properties.url", "context.page.url"):
        return "page has no url, title, name or path"
    return [Part(HitKind.PAGE_VIEW, {"action_name": cut(title)} if title else {})]


def _screen(data: Mapping[str, Any]) -> Sequence[Part] | str:
    name = first_text(data, "name", "properties.name")
    full_name = _full_name(data)
    if not full_name:
        return "screen has no name"
    url = page_url(data, "properties.url", "context.page.url") or screen_url(data, name)
    return [Part(HitKind.PAGE_VIEW, {"action_name": cut(full_name), "url": url})]


def _identify(call: Call, dimensions: Mapping[str, str]) -> Sequence[Part] | str:
    """Return a ping, which updates the visit that is going on, and does not begin one.

    plugins/Heartbeat/Tracker/PingRequestProcessor.php: "we do not track a new action nor a new visit nor any goal".
    """
    if not call.user_id and not dimensions:
        return "identify has no userId and no trait that is a custom dimension"
    return [Part(HitKind.PING, {"ping": "1"})]


def _full_name(data: Mapping[str, Any]) -> str:
    """Return the name of a page or screen behind its category, as Segment's libraries join them."""
    name = first_text(data, "name", "properties.name")
    category = first_text(data, "category", "properties.category")
    return f"{category} {name}" if category and name else name or category


def _is_wanted(integrations: Mapping[str, Any]) -> bool:
    """Return whether a call is for Matomo, by its own name, by Segment's old name of it, or as one of all."""
    said = {as_text(name).casefold(): value for name, value in integrations.items() if value is not None}
    return next((said[name] is not False for name in ("matomo", "piwik", "all") if name in said), True)
