"""A delivery: what becomes of each message, of one that Matomo refuses, and of one whose answer was lost."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TRACKER, FakeMatomo, Fault, rate_limited
from matomo_fn.deadline import Deadline
from matomo_fn.errors import AnswerLost
from matomo_fn.matomo.transport import HttpTransport
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.deliveries import AGENT, Again, Place, call, received, small_world
from tests.support.warehouses import Death, Killed, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse

DATASET = "matomo_shop"


@pytest.fixture
def place() -> Iterator[Place]:
    with FakeMatomo(small_world()) as matomo:
        yield Place(matomo)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse(tmp_path / "m.duckdb", DATASET)
    yield opened
    opened.close()


def steps(warehouse: Warehouse) -> dict[str, list[str]]:
    """The steps that were logged of each message, in their order."""
    rows = warehouse.query(
        f"select message_id, status from {sql.table_name(warehouse.dataset, '_events_log')} order by logged_at, status"
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["message_id"], []).append(row["status"])
    return found


def rejected(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The calls that were rejected."""
    rows = warehouse.query(
        f"select message_id, reason, call from {sql.table_name(warehouse.dataset, '_events_rejected')} order by 1"
    )
    return [dict(row) for row in rows]


def events(count: int, visitors: int = 3) -> list[dict[str, Any]]:
    """Events of visitors in turn."""
    return [call(number, visitor=number % visitors) for number in range(count)]


# ---- what becomes of messages


def test_each_message_is_delivered_and_acknowledged(place: Place, warehouse: DuckDBWarehouse) -> None:
    """In their order, logged before and after it was sent; the answer accounts for every message."""
    queue = Again(received([*events(5), call(5, kind="group"), b"no json", call(0)]))
    result = place.deliver(queue, warehouse)
    assert place.labels == ["m0", "m1", "m2", "m3", "m4"]
    assert [message.handle for message in queue.acknowledged] == ["0", "7", "1", "2", "3", "4", "5", "6"]
    logged = steps(warehouse)
    assert {name: logged[name] for name in ("m0", "m4", "m5")} == {
        "m0": ["sending", "sent"],
        "m4": ["sending", "sent"],
        "m5": ["sending", "skipped"],
    }
    answer = result.as_dict()
    assert answer.pop("seconds") >= 0
    assert answer == {
        "status": "partial",
        "connector": "shop",
        "run_id": "run0001",
        "pulled": 8,
        "sent": 5,
        "already_sent": 1,
        "skipped": {"group is not supported": 1},
        "rejected": 1,
        "uncertain": 0,
        "remaining": 0,
        "hits": 5,
        "matomo_calls": 1,
        "errors": ["message 6: the call is not valid JSON: Expecting value (line 1, column 1)"],
    }


def test_a_second_delivery_sends_nothing(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Whatever the batches are."""
    place.deliver(events(30), warehouse, batch=7)
    result = place.deliver(events(31), warehouse, batch=10)
    assert place.counts() == Counter(f"m{number}" for number in range(31))
    assert (result.tally.sent, result.tally.already_sent, result.verdict) == (1, 30, Verdict.COMPLETE)


def test_an_empty_queue_costs_nothing(place: Place, warehouse: DuckDBWarehouse) -> None:
    """No statement and no call, since a delivery runs each minute."""
    watched = Watched(warehouse)
    assert place.deliver([], watched).verdict is Verdict.COMPLETE
    assert watched.calls == []
    assert place.matomo.http_requests == 0


def test_a_batch_takes_three_statements(place: Place, warehouse: DuckDBWarehouse) -> None:
    """However many messages it has: two inserts, and a query between them."""
    place.deliver(events(1), warehouse)
    watched = Watched(warehouse)
    place.deliver([call(number) for number in range(100, 400)], watched)
    assert [name for name, _ in watched.calls if name in ("run", "query")] == ["run", "query", "run"]
    assert place.matomo.http_requests == 3  # 200 hits a call


# ---- refused hits


@pytest.mark.parametrize("superuser", [True, False])
def test_a_refused_hit_goes_to_its_table_and_the_rest_goes_on(
    place: Place, warehouse: DuckDBWarehouse, *, superuser: bool
) -> None:
    """Also where Matomo says only how many it refused, as it does to users with write access."""
    place.token = place.matomo.add_token("a" * 32, superuser=superuser, writes=True)
    place.config = {"goals": {"Signed Up": 77}}  # which the site has not
    calls = [*events(5), call(5, event="Signed Up"), call(6, visitor=0)]
    queue = Again(received(calls))
    result = place.deliver(queue, warehouse)
    assert result.tally.rejected == 1
    assert place.counts() == Counter(f"m{number}" for number in range(7))  # the event of the conversion is in Matomo
    assert len(queue.acknowledged) == 7
    (row,) = rejected(warehouse)
    assert row["message_id"] == "m5"
    assert row["reason"].startswith("goal (hit 2): Matomo refused it")
    assert json.loads(row["call"]) == calls[5]
    assert steps(warehouse)["m5"] == ["sending", "rejected"]
    assert result.errors == [f"message 5: {row['reason']}"]


def test_hits_that_matomo_excludes_do_not_hide_what_it_refuses(place: Place, warehouse: DuckDBWarehouse) -> None:
    """An excluded hit is taken and not shown: then smaller calls tell them apart, and nothing is sent twice."""
    place.config = {"goals": {"Signed Up": 77}, "hits_per_call": 8}
    excluded = call(9, visitor=9, kind="identify", userId="u9", traits={})  # a ping leaves nothing
    calls = [*events(4), call(5, visitor=5, event="Signed Up"), excluded, call(6, visitor=6)]
    result = place.deliver(calls, warehouse)
    assert result.tally.rejected == 1
    assert place.counts() == Counter(["m0", "m1", "m2", "m3", "m5", "m6"])
    assert [row["message_id"] for row in rejected(warehouse)] == ["m5"]
    assert result.tally.sent == 6


def test_a_token_without_write_access_ends_the_delivery(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Nothing is acknowledged, nothing taken for refused, and nothing tried again."""
    place.token = place.matomo.add_token("b" * 32)
    queue = Again(received(events(5)))
    result = place.deliver(queue, warehouse)
    assert result.http_status == 502
    assert result.errors == [
        "the token may not write to site 1 (events.site), so Matomo refuses hits: give the token's user write access "
        "to that site, or correct the site"
    ]
    assert (queue.acknowledged, len(queue.released), result.tally.remaining) == ([], 5, 5)
    assert steps(warehouse)["m0"] == ["sending", "not_sent"]
    assert rejected(warehouse) == []
    place.token = place.matomo.token
    queue.begin()
    assert place.deliver(queue, warehouse).verdict is Verdict.COMPLETE
    assert place.counts() == Counter(f"m{number}" for number in range(5))


def test_a_refused_token_is_the_users_to_fix(place: Place, warehouse: DuckDBWarehouse) -> None:
    """As in a sync."""
    place.token = "d" * 32
    result = place.deliver(events(2), warehouse)
    assert (result.http_status, result.token_refused, result.tally.remaining) == (400, True, 2)
    assert "Matomo refused the token" in result.errors[0]


def test_a_matomo_that_tracks_nothing_is_told_of(place: Place, warehouse: DuckDBWarehouse) -> None:
    """record_statistics = 0: it answers as if all were well, with no hit in its counts."""
    place.matomo.record_statistics = False
    queue = Again(received(events(5)))
    result = place.deliver(queue, warehouse)
    assert "record_statistics" in result.errors[0]
    assert (queue.acknowledged, result.tally.remaining, place.matomo.http_requests) == ([], 5, 1)
    place.matomo.record_statistics = True
    assert place.deliver(events(5), warehouse).tally.sent == 5


# ---- lost answers


LOST = {
    "reset": Fault(method=TRACKER, reset=True, taken=True, times=1),
    "cut": Fault(method=TRACKER, cut=5, taken=True, times=1),
    "gateway": Fault(method=TRACKER, status=504, body="gateway time-out", taken=True, times=1),
    "unavailable": Fault(method=TRACKER, status=503, body="backend fetch failed", taken=True, times=1),
    "no json": Fault(method=TRACKER, status=200, body="<html>", content_type="text/html", taken=True, times=1),
}


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_is_settled_with_matomo(
    place: Place, warehouse: DuckDBWarehouse, name: str, *, taken: bool
) -> None:
    """What Matomo has is not sent again, and what it has not is sent."""
    fault = LOST[name]
    place.matomo.faults.add(Fault(**{**vars_of(fault), "taken": taken}))
    result = place.deliver(events(10), warehouse)
    assert place.counts() == Counter(f"m{number}" for number in range(10))
    assert (result.tally.sent, result.verdict) == (10, Verdict.COMPLETE)
    assert steps(warehouse)["m0"] == ["sending", "sending", "sending", "sent"]


def test_a_page_view_that_matomo_takes_for_a_search_is_found(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Its URL has a search; the visits log shows it as one."""
    searched = {"page": {"url": "https://shop.example.org/list?q=shoes"}, "ip": "81.2.69.1", "userAgent": AGENT}
    place.matomo.faults.add(LOST["reset"])
    assert place.deliver([call(0, kind="page", context=searched)], warehouse).tally.sent == 1
    assert [hit.kind for hit in place.matomo.hits] == ["search"]


def test_a_call_of_a_time_that_is_not_yet_there_is_rejected(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Matomo would record it at the present time."""
    result = place.deliver([call(0, ago=-7200), call(1)], warehouse)
    assert (result.tally.sent, result.tally.rejected) == (1, 1)
    assert "in the future" in result.errors[0]


def vars_of(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__slots__}


def test_visitors_are_found_by_user_id_too(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Matomo derives the visitor's id from it; whatever signs it has."""
    users = ["a@example.com", "x+y,z;w==", "100%", "é 漢", "visitorId==0123456789abcdef", "'\"\\"]
    calls = [call(at, visitor=at % 2, userId=user) for at, user in enumerate(users)]
    calls += [{**call(9), "userId": "only", "anonymousId": None}]
    place.matomo.faults.add(LOST["reset"])
    assert place.deliver(calls, warehouse).tally.sent == len(calls)
    assert set(place.counts().values()) == {1}


def test_a_delivery_that_does_not_wait_leaves_what_is_uncertain_to_the_next(
    place: Place, warehouse: DuckDBWarehouse
) -> None:
    """Until settle_seconds have passed nobody sends it; later messages of its visitors stay behind it."""
    place.config = {"hits_per_call": 5}
    place.matomo.faults.add(LOST["reset"])
    queue = Again(received([call(number, visitor=number % 7) for number in range(10)]))
    result = place.deliver(queue, warehouse, waits=False)
    # The first call has visitors 0 to 4. Of the rest only those of 5 and 6 go on.
    assert place.labels == ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]
    tally = result.tally
    assert (tally.sent, tally.uncertain, tally.remaining, result.verdict) == (2, 5, 3, Verdict.PARTIAL)
    assert "uncertain whether Matomo has it" in result.errors[1]
    queue.begin()
    too_early = place.deliver(queue, warehouse, waits=False)
    assert (too_early.tally.sent, too_early.tally.remaining) == (0, 8)
    place.clock.wait(61)
    queue.begin()
    assert place.deliver(queue, warehouse, waits=False).verdict is Verdict.COMPLETE
    assert place.labels == [f"m{number}" for number in range(10)]


def test_calls_that_certainly_were_not_taken_are_tried_again(place: Place, warehouse: DuckDBWarehouse) -> None:
    """429, and a server that cannot be reached: nothing is uncertain then."""
    place.matomo.faults.add(rate_limited(Fault(method=TRACKER, times=2), retry_after="1"))
    assert place.deliver(events(5), warehouse).tally.sent == 5
    assert steps(warehouse)["m0"] == ["sending", "sent"]


def test_nothing_is_lost_while_matomo_is_down(place: Place, warehouse: DuckDBWarehouse) -> None:
    """All is given back, and delivered when it is up."""
    queue = Again(received(events(5)))
    with FakeMatomo(small_world()) as gone:
        address = gone.url
    result = place.deliver(queue, warehouse, matomo_url=address)
    assert "the connection was refused" in result.errors[0]
    assert (result.http_status, result.tally.remaining, queue.acknowledged) == (502, 5, [])
    assert steps(warehouse)["m0"] == ["sending", "not_sent"]
    queue.begin()
    assert place.deliver(queue, warehouse).tally.sent == 5


def test_three_answers_lost_in_a_row_end_the_delivery(place: Place, warehouse: DuckDBWarehouse) -> None:
    """More of them would only make more hits uncertain."""
    place.config = {"hits_per_call": 1}
    place.matomo.faults.add(Fault(method=TRACKER, status=500, body="oops"))
    result = place.deliver([call(number, visitor=number) for number in range(9)], warehouse)
    assert place.matomo.http_requests == 3
    assert (result.tally.uncertain, result.tally.remaining) == (3, 6)
    assert "3 calls in a row had no answer" in result.errors[0]


def test_without_a_visits_log_uncertain_messages_wait_for_a_decision(place: Place, warehouse: DuckDBWarehouse) -> None:
    """They are never sent twice in silence: the delivery names them, and its caller says what to do."""
    place.matomo.disable_visitor_log()
    place.matomo.faults.add(LOST["reset"])
    result = place.deliver(events(4), warehouse)
    assert (result.tally.uncertain, result.verdict) == (4, Verdict.PARTIAL)
    assert "Matomo does not say which hits it has" in result.errors[1]
    assert "Visits log is deactivated" in result.errors[1]
    assert place.deliver(events(4), warehouse, uncertain="drop").tally.sent == 4
    assert place.counts() == Counter(["m0", "m1", "m2", "m3"])


def test_uncertain_messages_can_be_sent_again_by_decision(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Where it is known that Matomo has none of them."""
    place.matomo.disable_visitor_log()
    place.matomo.faults.add(Fault(method=TRACKER, reset=True, times=1))
    assert place.deliver(events(4), warehouse).tally.uncertain == 4
    place.clock.wait(1_000)
    assert place.deliver(events(4), warehouse, uncertain="resend").tally.sent == 4
    assert place.counts() == Counter(["m0", "m1", "m2", "m3"])


def test_a_hit_that_breaks_every_call_is_alone_in_the_end(
    place: Place, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has half as many hits, so that the others get through."""
    place.config = {"hits_per_call": 8}
    track = HttpTransport.track

    def breaks(self: HttpTransport, body: Any, seconds: float) -> Any:
        if any(hit.get("e_n") == "m3" for hit in body["requests"]):
            raise AnswerLost("Matomo ran out of memory")
        return track(self, body, seconds)

    monkeypatch.setattr(HttpTransport, "track", breaks)
    calls = [call(number, visitor=number) for number in range(12)]
    queue = Again(received(calls))
    for _ in range(5):
        place.deliver(queue, warehouse, waits=False)
        place.clock.wait(61)
        queue.begin()
    assert place.counts() == Counter(f"m{number}" for number in range(12) if number != 3)
    assert [message.origin for message in queue.waiting] == ["message 3"]


# ---- kills


@pytest.mark.parametrize("at", range(1, 6))
def test_a_killed_delivery_is_gone_on_with(place: Place, warehouse: DuckDBWarehouse, at: int) -> None:
    """Whichever statement it dies before: those that create the tables, the claim, or what became of it."""
    queue = Again(received(events(6)))
    with pytest.raises(Killed):
        place.deliver(queue, Watched(warehouse, Death(at)))
    assert queue.released == []
    assert len(place.labels) == (6 if at == 5 else 0)
    queue.begin()
    place.clock.wait(1_000)
    assert place.deliver(queue, warehouse).verdict is Verdict.COMPLETE
    assert place.counts() == Counter(f"m{number}" for number in range(6))


# ---- the end of a delivery


def test_a_delivery_ends_with_its_time(place: Place, warehouse: DuckDBWarehouse) -> None:
    """What it has no time for is given back at once."""
    deadline = Deadline(100, clock=lambda: 30.0 * place.matomo.http_requests)
    place.config = {"hits_per_call": 2}
    queue = Again(received(events(20)))
    result = place.deliver(queue, warehouse, deadline=deadline, batch=4)
    assert result.verdict is Verdict.PARTIAL
    assert result.tally.sent + result.tally.remaining == result.tally.pulled
    assert 0 < result.tally.sent < 20
    queue.begin()
    assert place.deliver(queue, warehouse).verdict is Verdict.COMPLETE
    assert place.counts() == Counter(f"m{number}" for number in range(20))


def test_a_signal_ends_it_in_order(place: Place, warehouse: DuckDBWarehouse) -> None:
    """The answer to what is out is taken, the rest is given back."""
    deadline = Deadline()
    place.config = {"hits_per_call": 2}
    queue = Again(received(events(10)))
    seen = 0

    def step() -> None:
        nonlocal seen
        seen += 1
        if seen == 4:  # between the second call and its answer
            deadline.interrupt("SIGTERM", 8)

    result = place.deliver(queue, warehouse, step=step, deadline=deadline)
    assert (result.verdict, result.tally.sent, result.tally.remaining) == (Verdict.STOPPED, 4, 6)
    assert steps(warehouse)["m9"] == ["sending", "not_sent"]
    queue.begin()
    place.deliver(queue, warehouse)
    assert place.counts() == Counter(f"m{number}" for number in range(10))


def test_rows_older_than_dedupe_days_are_not_looked_at(place: Place, warehouse: DuckDBWarehouse) -> None:
    """What was sent within them is known."""
    place.config = {"dedupe_days": 3}
    place.deliver([call(1)], warehouse)
    place.clock.wait(timedelta(days=3).total_seconds())
    assert place.deliver([call(1)], warehouse).tally.already_sent == 1
    place.clock.wait(timedelta(days=1).total_seconds())
    assert place.deliver([call(1)], warehouse).tally.sent == 1
