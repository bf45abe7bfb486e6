"""The key ``events`` of a configuration: how Segment's calls become hits in Matomo."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from matomo_fn.config.validation import Problems
from matomo_fn.sites import SITE_ID

# A path into a call, such as properties.plan or context.app.version.
_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w $-]+)*")
_MOST_ID = 1_000_000


def _site(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not SITE_ID.fullmatch(text):
        raise ValueError('has to be the id of a site in Matomo, such as "1"')
    return text


def _ids(value: Any, what: str, example: str) -> dict[str, int]:
    """Return an object of names and Matomo's numbers; ``what`` the numbers are, for the sentences."""
    if not isinstance(value, dict):
        raise ValueError(f"has to be an object such as {example}")
    wrong = [
        name
        for name, number in value.items()
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST_ID
    ]
    if wrong:
        raise Problems(f"of {name!r}: has to be {what}, a whole number such as 3" for name in wrong)
    return dict(value)


def _goals(value: Any) -> dict[str, int]:
    return _ids(value, "the id of a goal in Matomo", '{"Signed Up": 3}')


def _dimensions(value: Any) -> dict[str, int]:
    found = _ids(value, "the id of a custom dimension in Matomo", '{"traits.plan": 1}')
    wrong = [path for path in found if not _PATH.fullmatch(path)]
    if wrong:
        raise Problems(f"{path!r} is no path into a call, such as properties.color or traits.plan" for path in wrong)
    return found


def _columns(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(column, str) and column for column in value.values()):
        raise ValueError('has to be an object of paths and column names, such as {"messageId": "order_id"}')
    wrong = [path for path in value if not _PATH.fullmatch(path)]
    if wrong:
        raise Problems(f"{path!r} is no path into a call, such as userId or properties.revenue" for path in wrong)
    return dict(value)


class EventsConfig(BaseModel):
    """How Segment's calls are delivered to Matomo; only ``site`` has to be given.

    ``goals``: goals by the event that converts them. ``dimensions``: custom dimensions by the path of their value in
    a call. ``ip``: whether the visitor's address is sent. ``signature``: the hash of X-Signature. ``columns``: columns
    of a query by the path that they have in a call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    site: Annotated[str, BeforeValidator(_site)]
    goals: Annotated[Mapping[str, int], PlainValidator(_goals)] = Field(default_factory=dict)
    dimensions: Annotated[Mapping[str, int], PlainValidator(_dimensions)] = Field(default_factory=dict)
    custom_variable_limit: int = Field(default=5, ge=0, le=100)
    ip: Literal["full", "masked", "none"] = "full"
    signature: Literal["sha1", "sha256"] = "sha1"
    columns: Annotated[Mapping[str, str], PlainValidator(_columns)] = Field(default_factory=dict)
    dedupe_days: int = Field(default=14, ge=1, le=3_650)
    hits_per_call: int = Field(default=200, ge=1, le=1_000)
    settle_seconds: int = Field(default=120, ge=1, le=3_600)
