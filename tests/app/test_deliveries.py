"""Deliveries as their users start them: by HTTP, a message, a file, a query; and what a sync brings back."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from google.pubsub_v1 import PubsubMessage

from fake_matomo import TRACKER, Fault, Site, World
from fake_matomo.sites import Goal
from matomo_fn.app.refused_tokens import RefusedTokens
from tests.app.cli.calling import call
from tests.support import shop as shops
from tests.support.canary import CANARY
from tests.support.deliveries import AGENT
from tests.support.shop import DATASET, log_lines
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse

    from tests.support.pubsub import PubSub
    from tests.support.shop import Shop

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOAL = Goal(1, "Sign-up", allow_multiple=True)
GOALS = {"Signed Up": GOAL.id}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    created = (NOW - timedelta(days=60)).date()
    site = Site(1, "Shop", "Europe/Paris", created=created, visits_per_day=0, ecommerce=True, goals=(GOAL,))
    with shops.running(tmp_path, world=World((site,), now=NOW)) as shop:
        configure(shop)
        yield shop


def configure(shop: Shop, **events: Any) -> None:
    values = {"site": "1", "goals": GOALS, "settle_seconds": 1, **events}
    shop.configure(reports=["visits_summary"], visits=True, backfill_days=3, events=values)


def event(number: int, **more: Any) -> dict[str, Any]:
    """A call of Segment."""
    return {
        "type": "track",
        "event": f"Event {number}",
        "messageId": f"m{number}",
        "anonymousId": "a1",
        "timestamp": (NOW - timedelta(hours=20) + timedelta(seconds=number)).isoformat(),
        "context": {"ip": "81.2.69.142", "userAgent": AGENT},
        **more,
    }


def lines(path: Path, *calls: object) -> str:
    """A file of calls."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in calls]
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def labels(shop: Shop) -> list[str]:
    return [hit.params["e_a"] for hit in shop.matomo.hits if "e_a" in hit.params]


# ---- from a file


def test_a_file_is_delivered_once(shop: Shop, tmp_path: Path) -> None:
    """Each line, also those of a batch; once more, nothing is sent."""
    batch = {"batch": [event(2), event(3)], "context": {"locale": "fr-FR"}}
    path = lines(tmp_path / "events.jsonl", event(1), "", batch)
    first = call(shop.env, "deliver", "shop", "--file", path, "--json")
    assert (first.code, first.json["status"], first.json["sent"]) == (0, "complete", 3)
    again = call(shop.env, "deliver", "shop", "--file", path, "--json")
    assert (again.code, again.json["sent"], again.json["already_sent"], again.json["matomo_calls"]) == (0, 0, 3, 0)
    assert labels(shop) == ["Event 1", "Event 2", "Event 3"]
    assert [hit.params.get("lang") for hit in shop.matomo.hits] == [None, "fr-FR", "fr-FR"]


def test_bad_lines_are_named_and_the_others_sent(shop: Shop, tmp_path: Path) -> None:
    """Each time the file is delivered, by their line; exit code 1."""
    path = lines(tmp_path / "e.jsonl", event(1), "{", event(2), {"batch": [event(3), {"type": "track"}]}, '"text"')
    for sent in (3, 0):
        called = call(shop.env, "deliver", "shop", "--file", path)
        assert called.code == 1
        assert [line.partition(": ")[0] for line in called.errors] == [
            f"{path}, line 2",
            f"{path}, line 4, call 2",
            f"{path}, line 5",
        ]
        assert len(shop.matomo.hits) == 3, sent


def test_standard_input_is_a_file_too(shop: Shop) -> None:
    """As ``-``."""
    called = call(shop.env, "deliver", "shop", "--file", "-", "--json", given=json.dumps(event(1)) + "\n")
    assert (called.code, called.json["sent"]) == (0, 1)


def test_a_file_waits_for_what_is_uncertain(shop: Shop, tmp_path: Path) -> None:
    """It ends when all is settled."""
    shop.matomo.faults.add(Fault(method=TRACKER, reset=True, taken=True, times=1))
    path = lines(tmp_path / "events.jsonl", *map(event, range(5)))
    called = call(shop.env, "deliver", "shop", "--file", path, "--json")
    assert (called.code, called.json["sent"], called.json["uncertain"]) == (0, 5, 0)
    assert Counter(labels(shop)) == Counter(f"Event {number}" for number in range(5))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--file", "nowhere.jsonl"), "the file nowhere.jsonl cannot be read: No such file or directory"),
        (("--file", "x", "--query", "select 1"), "--file and --query: give one of them"),
        (("--query", "drop table visits"), "--query: begin it with select (or with): it may only read"),
        (("--query", "select 1; drop table visits"), "the query may only read"),
        (("--query", "select 1 as one"), "there is no column message_id"),
        (("--query", "select * from nowhere"), "query: "),
    ],
)
def test_a_source_that_cannot_be_is_refused(shop: Shop, arguments: tuple[str, ...], sentence: str) -> None:
    """With what to do about it, and exit code 2."""
    called = call(shop.env, "deliver", "shop", *arguments)
    assert called.code == 2
    assert sentence in called.errors[0]


def test_a_connector_without_events_is_told_so(shop: Shop) -> None:
    """And how it gets them."""
    shop.configure()
    called = call(shop.env, "deliver", "shop", "--file", "-", given="")
    assert called.code == 2
    assert called.errors == [
        'connector \'shop\' delivers no events: add "events" to its configuration, such as {"events": {"site": "1"}}'
    ]


# ---- offline conversions: from a query


QUERY = """
select concat('o', cast(n as string)) as order_id, 'track' as type, 'Signed Up' as event, 'u1' as user_id,
  timestamp_add(timestamp '2026-11-19 10:00:00+00', interval n second) as timestamp, n * 1.5 as amount
from unnest(generate_array(1, 2500)) as n
"""
COLUMNS = {"messageId": "order_id", "properties.revenue": "amount"}


def test_each_row_of_a_query_is_a_conversion_once(shop: Shop) -> None:
    """A second delivery sends nothing."""
    configure(shop, columns=COLUMNS)
    first = call(shop.env, "deliver", "shop", "--query", QUERY, "--json")
    assert (first.code, first.json["sent"], first.json["hits"]) == (0, 2500, 5000)
    conversions = [hit for hit in shop.matomo.hits if hit.kind == "goal"]
    assert len({hit.at for hit in conversions}) == len(conversions) == 2500
    assert conversions[1].params["revenue"] == "3"
    assert conversions[1].params["uid"] == "u1"
    again = call(shop.env, "deliver", "shop", "--query", QUERY, "--json")
    assert (again.code, again.json["already_sent"], again.json["matomo_calls"]) == (0, 2500, 0)


def test_a_row_that_is_no_call_is_named(shop: Shop) -> None:
    """And the others are sent."""
    configure(shop, columns=COLUMNS)
    statement = QUERY.replace("2500", "3").replace("'u1' as", "if(n = 2, null, 'u1') as")
    called = call(shop.env, "deliver", "shop", "--query", statement, "--json")
    assert (called.code, called.json["sent"], called.json["rejected"]) == (1, 2, 1)
    assert called.json["errors"][0].startswith("row 2: ")


# ---- by HTTP and by a message, from Pub/Sub


def publish(pubsub: PubSub, *calls: object) -> None:
    """Put calls into the connector's topic."""
    messages = [PubsubMessage(data=json.dumps(each).encode(), ordering_key="a1") for each in calls]
    pubsub.server.publisher.publish(topic=pubsub.topic(), messages=messages)


def deliver(shop: Shop, pubsub: PubSub) -> TestResponse:
    """Request a delivery by HTTP."""
    with mock.patch.dict("os.environ", pubsub.environment):
        return shop.post({"connector": "shop", "mode": "deliver"})


def test_a_delivery_to_all_skips_connectors_without_events(
    shop: Shop, pubsub: PubSub, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have nothing to deliver; it answered 400 and logged an error for each of them, every minute."""
    pubsub.create()
    publish(pubsub, event(1))
    (shop.secrets / "matomo-blog-config").write_text(json.dumps({"matomo_url": shop.matomo.url, "sites": ["1"]}))
    with mock.patch.dict("os.environ", pubsub.environment):
        answer = shop.post({"connector": "all", "mode": "deliver"})
        found = answer.get_json()
        assert (answer.status_code, found["status"], found["skipped"]) == (200, "complete", ["blog"])
        assert found["connectors"].keys() == {"shop"}
        assert [line["message"] for line in log_lines(capsys.readouterr().out)] == ["deliver_finished"]
        named = shop.post({"connector": ["shop", "blog"], "mode": "deliver"})
        assert named.status_code == 400
        shop.configure(events=None)
        refused = shop.post({"connector": "all", "mode": "deliver"})
        assert (refused.status_code, refused.get_json()["errors"]) == (
            400,
            ['no connector delivers events: add "events" to a configuration'],
        )


def test_a_request_delivers_what_waits_in_pubsub(
    shop: Shop, pubsub: PubSub, capsys: pytest.CaptureFixture[str]
) -> None:
    """And acknowledges it; one log line reports it."""
    pubsub.create()
    publish(pubsub, *map(event, range(5)))
    answer = deliver(shop, pubsub)
    assert answer.status_code == 200
    assert answer.get_json() | {"seconds": 0, "run_id": ""} == {
        "status": "complete",
        "connector": "shop",
        "run_id": "",
        "pulled": 5,
        "sent": 5,
        "already_sent": 0,
        "skipped": {},
        "rejected": 0,
        "uncertain": 0,
        "remaining": 0,
        "hits": 5,
        "matomo_calls": 1,
        "seconds": 0,
        "errors": [],
    }
    assert labels(shop) == [f"Event {number}" for number in range(5)]
    assert pubsub.unacknowledged() == 0
    (line,) = [line for line in log_lines(capsys.readouterr().out) if line["message"] == "deliver_finished"]
    assert (line["severity"], line["sent"], line["run_id"]) == ("INFO", 5, answer.get_json()["run_id"])


def test_a_message_that_fails_is_not_delivered_again(shop: Shop, pubsub: PubSub) -> None:
    """The next minute's comes anyway; the events stay in Pub/Sub."""
    pubsub.create()
    publish(pubsub, event(1))
    shop.matomo.faults.add(Fault(method=TRACKER, status=403, body="no"))
    data = base64.b64encode(b'{"connector": "shop", "mode": "deliver"}').decode()
    message = {"message": {"data": data, "messageId": "7"}, "subscription": "projects/p/subscriptions/s"}
    with mock.patch.dict("os.environ", shop.env | pubsub.environment):
        assert shops.events().post("/", json=message).status_code == 200
        assert (pubsub.unacknowledged(), labels(shop)) == (1, [])
        shop.matomo.faults.clear()
        assert shops.events().post("/", json=message).status_code == 200
    assert (pubsub.unacknowledged(), labels(shop)) == (0, ["Event 1"])


def test_nothing_is_pulled_before_a_matomo_that_was_down_answers(shop: Shop, pubsub: PubSub) -> None:
    """Pub/Sub counts how often a message is pulled, and makes a dead letter of it in the end."""
    pubsub.create()
    publish(pubsub, event(1), event(2))
    shop.matomo.faults.add(Fault(method=TRACKER, status=403, body="no"))
    assert deliver(shop, pubsub).get_json()["pulled"] == 2
    answer = deliver(shop, pubsub)
    assert (answer.status_code, answer.get_json()["pulled"], answer.get_json()["matomo_calls"]) == (502, 0, 1)
    assert "HTTP 403" in answer.get_json()["errors"][0]
    shop.matomo.faults.clear()
    answer = deliver(shop, pubsub).get_json()
    assert (answer["sent"], answer["matomo_calls"]) == (2, 2)
    publish(pubsub, event(3))
    assert deliver(shop, pubsub).get_json()["matomo_calls"] == 1
    assert labels(shop) == ["Event 1", "Event 2", "Event 3"]


def test_a_delivery_that_was_killed_is_gone_on_with(shop: Shop, pubsub: PubSub) -> None:
    """Pub/Sub delivers its messages again, and what is in Matomo is not sent again."""
    pubsub.create(ack_seconds=60)
    publish(pubsub, *map(event, range(5)))
    acknowledge = "matomo_fn.events.pubsub.PubSubQueue.acknowledge"
    with mock.patch(acknowledge, side_effect=Killed), pytest.raises(Killed):
        deliver(shop, pubsub)
    pubsub.advance(120)
    answer = deliver(shop, pubsub).get_json()
    assert (answer["sent"], answer["already_sent"]) == (0, 5)
    assert labels(shop) == [f"Event {number}" for number in range(5)]


def test_a_refused_token_is_not_sent_each_minute(shop: Shop, pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> None:
    """21 of them would block the address; a new one is sent at once."""
    passed = 0.0
    monkeypatch.setattr("matomo_fn.app.deliveries._REFUSED", RefusedTokens(lambda: passed))
    pubsub.create()
    publish(pubsub, event(1))
    shop.matomo.tokens.remove(CANARY)
    assert [deliver(shop, pubsub).status_code for _ in range(5)] == [400] * 5
    calls = shop.matomo.http_requests
    assert calls < 5
    answer = deliver(shop, pubsub).get_json()
    assert answer["errors"][0].startswith("Matomo refused the token less than 15 minutes ago")
    passed = 901.0
    assert deliver(shop, pubsub).status_code == 400
    assert shop.matomo.http_requests > calls
    shop.matomo.add_token(CANARY, writes=True)
    passed = 2_000.0
    assert deliver(shop, pubsub).get_json()["sent"] == 1


def test_a_missing_subscription_is_told_of(shop: Shop, pubsub: PubSub) -> None:
    """503, since it may be created a moment later."""
    answer = deliver(shop, pubsub)
    assert answer.status_code == 503
    assert "give the connector `events` in Terraform" in answer.get_json()["errors"][0]


@pytest.mark.parametrize(
    "more", [{"start_date": "2026-11-01"}, {"sites": ["1"]}, {"tables": ["visits"]}, {"dry_run": True}]
)
def test_a_delivery_of_a_part_is_refused(shop: Shop, more: dict[str, Any]) -> None:
    """It sends all that waits."""
    answer = shop.post({"connector": "shop", "mode": "deliver"} | more)
    assert answer.status_code == 400
    assert "a delivery sends all events that wait" in answer.get_json()["errors"][0]


def test_something_unforeseen_ends_a_delivery_in_order(shop: Shop, tmp_path: Path) -> None:
    """A sentence, no traceback; and nothing is lost."""
    path = lines(tmp_path / "events.jsonl", event(1))
    with mock.patch("matomo_fn.events.send.Sender._judge", side_effect=ZeroDivisionError):
        called = call(shop.env, "deliver", "shop", "--file", path)
    assert called.code == 1
    assert "unforeseen ZeroDivisionError" in called.errors[0]
    assert call(shop.env, "deliver", "shop", "--file", path, "--json").json["sent"] == 1
    assert labels(shop) == ["Event 1"]


# ---- how deliveries stand


def test_status_says_how_deliveries_stand(shop: Shop, tmp_path: Path) -> None:
    """The last one, what was rejected, and what is uncertain."""
    assert call(shop.env, "sync", "shop").code == 0
    assert "last delivery of events never: 0 rejected in 7 days, 0 uncertain" in call(shop.env, "status", "shop").out
    shop.matomo.disable_visitor_log()
    shop.matomo.faults.add(Fault(method=TRACKER, reset=True, times=1))
    path = lines(tmp_path / "events.jsonl", event(1), "{}")
    assert call(shop.env, "deliver", "shop", "--file", path).code == 1
    found = call(shop.env, "status", "shop", "--json").json["events"]
    assert found.pop("last_delivery")[:10] == f"{datetime.now(UTC):%Y-%m-%d}"
    assert found == {"rejected_in_7_days": 1, "uncertain": 1}


# ---- the loop is closed


ITEMS = [{"product_id": "S1", "name": "Shoe", "price": 10, "quantity": 2, "category": "Shoes"}]
OF_EACH_KIND = (
    event(0, type="page", properties={"title": "Home", "url": "https://shop.example.org/"}),
    event(60, type="screen", name="Start"),
    event(120, event="Played", properties={"category": "Video", "label": "Intro", "value": 7}),
    event(180, event="Signed Up", properties={"revenue": 5}),
    event(240, event="Products Searched", properties={"query": "shoes"}),
    event(300, event="Product Viewed", properties={**ITEMS[0], "url": "https://shop.example.org/s1"}),
    event(360, event="Order Completed", properties={"order_id": "O-1", "total": 20, "products": ITEMS}),
    event(420, event="Product Added", properties=ITEMS[0]),
    event(480, event="Cart Viewed", properties={"products": ITEMS}),  # which takes the place of the one before
    event(540, type="identify", userId="u1", traits={"plan": "pro"}),
    event(600, type="group", groupId="g"),
)


def test_what_was_delivered_comes_back_with_the_visits(shop: Shop, tmp_path: Path) -> None:
    """Each call of each kind, with its time and its visitor, event for event."""
    path = lines(tmp_path / "events.jsonl", *OF_EACH_KIND)
    sent = call(shop.env, "deliver", "shop", "--file", path, "--json").json
    assert (sent["status"], sent["sent"], sent["skipped"]) == ("complete", 10, {"group is not supported": 1})
    shop.matomo.advance(timedelta(days=1))
    assert call(shop.env, "sync", "shop", "--json").json["status"] == "complete"
    (visit,) = shop.contents()[(DATASET, "visits")]
    actions = [
        (each["type"], _seconds(each["occurred_at"]), each["title"] or each["event_action"] or each["search_keyword"])
        for each in visit["actions"]
    ]
    assert sorted(actions, key=lambda action: (action[1], action[0])) == [
        ("action", 0, "Home"),
        ("action", 60, "Start"),
        ("event", 120, "Played"),
        ("event", 180, "Signed Up"),
        ("goal", 180, None),
        ("search", 240, "shoes"),
        ("action", 300, "Shoe"),
        ("ecommerceOrder", 360, None),
        ("ecommerceAbandonedCart", 480, None),
    ]


def _seconds(moment: datetime) -> int:
    return round((moment - (NOW - timedelta(hours=20))).total_seconds())
