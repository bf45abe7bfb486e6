"""Each example of docs/events.md on its whole way: signed HTTP, Pub/Sub, delivery, and the hit that Matomo has."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest import mock

from fake_matomo import Site, World
from fake_matomo.sites import Goal
from matomo_fn.events.calls import MOST_CALL_BYTES
from matomo_fn.events.pageview_id import pageview_id
from tests.events.mapping_examples import CALL, EXAMPLES, Example, Json
from tests.support import shop as shops
from tests.support.collecting import SECRET, Collecting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.pubsub import PubSub
    from tests.support.shop import Shop

OLD_ID = CALL["messageId"]
# The site and the goal of the examples.
SITE = Site(
    7, "Shop", "Europe/Paris", visits_per_day=0, ecommerce=True, goals=(Goal(3, "Signed up", allow_multiple=True),)
)
WORLD = World((SITE,), now=datetime(2026, 11, 22, tzinfo=UTC))


def numbered() -> list[tuple[Json, Example]]:
    """The examples with message ids of their own, since one id is delivered once.

    Without those of texts that are longer than Segment lets a call be, which only a file or a table can have.
    """
    examples = [example for rows in EXAMPLES.values() for example in rows.values()]
    examples = [example for example in examples if len(json.dumps(example.whole_call)) < MOST_CALL_BYTES]
    return [
        ({**example.whole_call, "messageId": f"example-{number}"}, example) for number, example in enumerate(examples)
    ]


def expected(parameters: Mapping[str, str], message_id: str) -> dict[str, str]:
    """What a hit of an example has, with what is derived of its message id."""
    renamed = {OLD_ID: message_id, pageview_id(OLD_ID): pageview_id(message_id)}
    return {name: renamed.get(value, value) for name, value in parameters.items()}


def deliver(shop: Shop, pubsub: PubSub) -> Json:
    with mock.patch.dict("os.environ", pubsub.environment):
        answer = shop.post({"connector": "shop", "mode": "deliver"})
    assert answer.status_code == 200, answer.get_json()
    found: Json = answer.get_json()
    return found


def groups() -> list[tuple[Json, Sequence[tuple[Json, Example]]]]:
    """The examples by the configuration that they are of."""
    found: dict[str, list[tuple[Json, Example]]] = {}
    for call, example in numbered():
        found.setdefault(json.dumps(example.config, sort_keys=True), []).append((call, example))
    return [(json.loads(config), calls) for config, calls in found.items()]


def test_each_example_arrives_as_the_document_says(tmp_path: Path, pubsub: PubSub) -> None:
    """Collected with a signature by the Functions Framework, pulled from Pub/Sub, and taken by Matomo, each once."""
    pubsub.create()
    with shops.running(tmp_path, world=WORLD) as shop:
        shop.write("signature", SECRET)
        collecting = Collecting(shop.secrets, pubsub)
        for config, calls in groups():
            shop.configure(sites=["7"], events={"site": "7", **config})
            before = len(shop.matomo.hits)
            answer = collecting.post({"batch": [call for call, _ in calls]})
            assert (answer.status_code, answer.get_json()["status"]) == (200, "published"), answer.get_json()
            result = deliver(shop, pubsub)
            skipped = [example.skipped for _, example in calls if example.skipped]
            assert (result["status"], result["sent"]) == ("complete", len(calls) - len(skipped))
            assert result["skipped"] == {reason: skipped.count(reason) for reason in skipped}
            taken: dict[str, list[Mapping[str, str]]] = {}
            for hit in shop.matomo.hits[before:]:
                taken.setdefault(hit.params["pv_id"], []).append(hit.params)
            for call, example in calls:
                hits = taken.pop(pageview_id(call["messageId"]), [])
                assert len(hits) == len(example.hits), call
                for params, (_, parameters) in zip(hits, example.hits, strict=True):
                    wanted = expected(parameters, call["messageId"])
                    assert {name: params.get(name) for name in wanted} == wanted, call
                    assert not set(example.absent) & set(params), call
            assert not taken
    assert pubsub.unacknowledged() == 0
