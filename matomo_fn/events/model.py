"""What an event is on its way: the call that Segment sends, and the hits that it becomes in Matomo."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class CallType(StrEnum):
    """The kinds of Segment's calls (its specification, "Spec")."""

    PAGE = "page"
    SCREEN = "screen"
    TRACK = "track"
    IDENTIFY = "identify"
    GROUP = "group"
    ALIAS = "alias"


class HitKind(StrEnum):
    """What a hit is to Matomo; how the visits log shows it decides how an uncertain delivery is settled."""

    PAGE_VIEW = "page_view"
    EVENT = "event"
    SITE_SEARCH = "site_search"
    GOAL = "goal"
    ORDER = "order"
    CART = "cart"
    # Updates the visitor's visit and leaves no action: sending it twice changes nothing.
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of Segment, checked.

    ``occurred_at`` is in UTC, corrected for the skew of the sender's clock. ``data``: the whole call, as it was sent.
    At least one of ``anonymous_id`` and ``user_id`` is not empty.
    """

    type: CallType
    message_id: str
    anonymous_id: str
    user_id: str
    occurred_at: datetime
    data: Mapping[str, Any] = field(repr=False)

    @property
    def visitor_key(self) -> str:
        """What calls of one visitor have in common: they are delivered in order."""
        return self.anonymous_id or self.user_id


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit of Matomo's tracking API.

    ``parameters``: all of it but the token, by the names of the tracking API, as text. ``occurred_at`` is its ``cdt``:
    whole seconds in UTC.
    """

    kind: HitKind
    occurred_at: datetime
    parameters: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a call becomes: hits in their order, or none and the reason, such as "group is not supported"."""

    hits: tuple[Hit, ...] = ()
    skipped: str = ""
