"""A request in shards and in continuations: the tables of one run, whatever the order and however often delivered."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.errors import QueueUnavailable
from matomo_fn.sync.hand_on import FanOut, calls_within
from matomo_fn.sync.request_progress import ShardState, read_progress
from matomo_fn.verdict import Verdict
from tests.support.local import SOME_TABLES, YESTERDAY, ago, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matomo_fn.config.request import SyncRequest
    from matomo_fn.sync.result import RunResult
    from tests.support.local import Local

BACKFILL: dict[str, Any] = {"mode": "backfill", "start_date": str(ago(6)), "end_date": str(YESTERDAY)}
MESSAGE = "message 1"


@dataclass
class Topic:
    """What is published, by a process that may lose its way to Pub/Sub."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    takes: int | None = None

    def publish(self, requests: Sequence[SyncRequest]) -> None:
        """Take messages, and of a failing publish the first ones."""
        self.messages += [request.as_json() for request in requests][: self.takes]
        if self.takes is not None:
            raise QueueUnavailable("Pub/Sub is away")

    def take(self) -> list[dict[str, Any]]:
        """Return what waits."""
        messages, self.messages = self.messages, []
        return messages

    def fan_out(self, own_calls: int | None = 3, shard_calls: int = 3) -> FanOut:
        """How a run hands on by this topic."""
        return FanOut(self.publish, own_calls, shard_calls)


def deliver(place: Local, message: dict[str, Any], **more: Any) -> RunResult:
    """Run what a message asks for."""
    return place.sync(**{name: value for name, value in message.items() if name != "connector"}, **more)


def asked_reports(matomo: FakeMatomo) -> list[tuple[str, str, str]]:
    """Each call of a report that a table takes by itself: method, site and days.

    Of a table of several calls those that were made when time was up are made again.
    """
    methods = ("VisitsSummary.get", "UserCountry.getCountry", "Referrers.getAll")
    calls = [call for call in matomo.calls if "period" in call.params and call.method in methods]
    return [(call.method, call.params["idSite"], call.params["date"]) for call in calls]


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    with FakeMatomo(small_world()) as running:
        yield running


@pytest.fixture
def place(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    with local(matomo, tmp_path / "w.duckdb", concurrency=1) as opened:
        yield opened


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def undisturbed(matomo: FakeMatomo, tmp_path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The tables as one run leaves them."""
    with local(matomo, tmp_path / "one.duckdb") as one:
        assert one.sync(**BACKFILL).verdict is Verdict.COMPLETE
        matomo.forget_calls()
        return one.contents()


def test_shards_in_any_order_and_twice_leave_the_tables_of_one_run(
    place: Local, topic: Topic, undisturbed: dict[str, list[tuple[Any, ...]]], matomo: FakeMatomo
) -> None:
    """The request itself requests no report; each shard does what is its own, and a second delivery nothing."""
    split = place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    assert (split.verdict, split.http_status, place.asked()) == (Verdict.HANDED_ON, 202, set())
    messages = topic.take()
    assert len(messages) == len(split.handed_on) > 3
    assert sum(part.slices for part in split.handed_on) == len(SOME_TABLES) * 2 * 6
    random.Random(1).shuffle(messages)  # noqa: S311
    for message in messages:
        assert deliver(place, message, fan_out=topic.fan_out()).verdict is Verdict.COMPLETE
    asked = [
        (call.method, call.params["idSite"], call.params.get("date"))
        for call in matomo.calls
        if "period" in call.params
    ]
    assert len(asked) == len(set(asked))
    matomo.forget_calls()
    for message in messages:
        assert deliver(place, message, fan_out=topic.fan_out()).verdict is Verdict.COMPLETE
    assert place.asked() == set()
    assert topic.messages == []
    assert place.contents() == undisturbed
    assert place.duplicates() == []


def test_the_request_delivered_again_hands_out_nothing_new(place: Local, topic: Topic) -> None:
    """Pub/Sub may deliver it twice, and Scheduler repeat it; the answer is the same."""
    first = place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    topic.take()
    again = place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    assert (again.verdict, again.handed_on, topic.messages) == (Verdict.HANDED_ON, first.handed_on, [])
    assert place.sync(request_id="message 2", fan_out=topic.fan_out(), **BACKFILL).verdict is Verdict.HANDED_ON
    assert topic.messages


def test_a_publish_that_fails_half_way_publishes_the_same_again(place: Local, topic: Topic) -> None:
    """Also where some of the shards have been done meanwhile, so that less is due than before."""
    topic.takes = 2
    with pytest.raises(QueueUnavailable):
        place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    first = topic.take()
    assert len(first) == 2
    topic.takes = None
    assert deliver(place, first[1]).verdict is Verdict.COMPLETE
    again = place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    messages = topic.take()
    assert messages[:2] == first
    assert [message["part"]["number"] for message in messages[2:]] == list(range(3, len(messages) + 1))
    assert len(messages) == len(again.handed_on)


def test_what_there_was_no_time_for_is_handed_on_until_all_is_done(
    place: Local, topic: Topic, undisturbed: dict[str, list[tuple[Any, ...]]], matomo: FakeMatomo
) -> None:
    """Each run goes on where the last one stopped, and no report is requested twice for a day."""
    result = place.sync(calls=3, request_id=MESSAGE, fan_out=topic.fan_out(own_calls=None), **BACKFILL)
    runs = 1
    while result.handed_on:
        assert (result.verdict, result.may_succeed_later) == (Verdict.HANDED_ON, False)
        (message,) = topic.take()
        assert message["part"] == {"request_id": MESSAGE, "number": 1, "count": 1, "continuation": runs}
        assert message.items() >= BACKFILL.items()
        runs += 1
        result = deliver(place, message, calls=3, fan_out=topic.fan_out(own_calls=None))
    assert result.verdict is Verdict.COMPLETE
    assert runs > 2
    days = asked_reports(matomo)
    assert len(days) == len(set(days))
    assert place.contents() == undisturbed
    (progress,) = read_progress(place.warehouse, "shop", place.now())
    assert (progress.request_id, progress.is_done, progress.shards) == (MESSAGE, True, 1)


def test_what_brought_no_news_is_not_refetched_by_the_rest_of_a_request(
    place: Local, topic: Topic, matomo: FakeMatomo
) -> None:
    """A quiet run logs nothing of the trailing days; one that is gone on with does."""
    assert place.sync().verdict is Verdict.COMPLETE
    matomo.forget_calls()
    result = place.sync(calls=3, request_id=MESSAGE, fan_out=topic.fan_out(own_calls=None))
    while result.handed_on:
        (message,) = topic.take()
        result = deliver(place, message, calls=3, fan_out=topic.fan_out(own_calls=None))
    assert result.verdict is Verdict.COMPLETE
    calls = [(method, site) for method, site, _ in asked_reports(matomo) if method != "Referrers.getAll"]
    assert calls
    assert len(calls) == len(set(calls))


def test_a_run_that_did_nothing_hands_nothing_on(place: Local, topic: Topic, matomo: FakeMatomo) -> None:
    """It would be followed by others without end: its own message comes again, as often as the subscription says."""
    matomo.faults.add(Fault(method="VisitsSummary.get", status=503, body="down"))
    result = place.sync(calls=4, request_id=MESSAGE, fan_out=topic.fan_out(own_calls=None), tables=["visits_summary"])
    assert topic.messages == []
    assert result.may_succeed_later
    assert any("nothing is handed on" in note for note in result.notes)


def test_a_rest_that_cannot_be_published_is_left_to_the_message(place: Local, topic: Topic) -> None:
    """As without a topic: it is delivered again."""
    topic.takes = 0
    result = place.sync(calls=3, request_id=MESSAGE, fan_out=topic.fan_out(own_calls=None), **BACKFILL)
    assert (result.verdict, result.may_succeed_later, topic.messages) == (Verdict.PARTIAL, True, [])
    assert any("Pub/Sub is away" in note for note in result.notes)


def test_a_rebuild_is_neither_split_nor_gone_on_with(place: Local, topic: Topic) -> None:
    """A table takes the place of another one as a whole."""
    request = BACKFILL | {"mode": "full_refresh", "tables": ["visitor_country"]}
    assert place.sync(request_id=MESSAGE, fan_out=topic.fan_out(own_calls=1), **BACKFILL).handed_on
    topic.take()
    assert place.sync(fan_out=topic.fan_out(own_calls=1), **request).verdict is Verdict.COMPLETE
    assert topic.messages == []


def test_a_full_refresh_of_all_tables_rebuilds_none_in_its_shards(place: Local, topic: Topic) -> None:
    """Its shards have tables, which the request does not name."""
    place.sync(**BACKFILL)
    place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL | {"mode": "full_refresh"})
    for message in topic.take():
        assert deliver(place, message).verdict is Verdict.COMPLETE
        assert not any("rebuil" in what for _, what in place.watched.changes())


def test_reference_tables_are_synced_once_and_the_reach_is_told_by_the_last_shard(
    matomo: FakeMatomo, topic: Topic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They belong to no single shard."""
    with local(matomo, tmp_path / "w.duckdb", reference_tables=True) as place:
        split = place.sync(request_id=MESSAGE, fan_out=topic.fan_out())
        assert split.reference
        messages = topic.take()
        results = [deliver(place, message) for message in messages]
        assert all(not result.reference and result.reach.days_late is None for result in results)
        out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "request_finished" in line]
    assert "days_late" in line


def test_progress_tells_what_is_done_running_failed_and_left(place: Local, topic: Topic, matomo: FakeMatomo) -> None:
    """By the rows of runs alone; a killed run is left once its time is over."""
    place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    first, second, third, *rest = topic.take()

    def states() -> dict[str, int]:
        (found,) = read_progress(place.warehouse, "shop", place.now())
        return {name: count for name, count in found.as_dict().items() if name in ("done", "running", "failed", "left")}

    total = 3 + len(rest)
    assert states() == {"done": 0, "running": 0, "failed": 0, "left": total}
    deliver(place, first)
    with pytest.raises(KeyboardInterrupt):
        deliver(place, second, before=_interrupt_merge)
    assert states() == {"done": 1, "running": 1, "failed": 0, "left": total - 2}
    for plugin in ("UserCountry", "Referrers", "VisitsSummary"):
        matomo.deactivate_plugin(plugin)
    assert deliver(place, third).verdict is Verdict.FAILED
    assert states() == {"done": 1, "running": 1, "failed": 1, "left": total - 3}


@pytest.mark.parametrize(("written", "shards"), [("9223372036854775807", 2**63 - 1), ("-1", 1), ("0", 1)])
def test_a_number_of_shards_that_somebody_wrote_takes_no_memory(
    place: Local, topic: Topic, written: str, shards: int
) -> None:
    """They are counted and not listed; with none that could be there the request is not taken for done."""
    place.sync(request_id=MESSAGE, fan_out=topic.fan_out(), **BACKFILL)
    place.warehouse.run(f"update _sync_runs r set shards = {written} where true", "spoil")
    (progress,) = read_progress(place.warehouse, "shop", place.now())
    assert (progress.shards, progress.count(ShardState.LEFT), progress.is_done) == (shards, shards, False)


def _interrupt_merge(method: str, what: str) -> None:
    if method == "load" and "_sync" not in what:
        raise KeyboardInterrupt


def test_a_site_or_table_that_is_gone_meanwhile_costs_its_shard_nothing_else(
    place: Local, topic: Topic, matomo: FakeMatomo, tmp_path: Path
) -> None:
    """The run that split the request named what is missing; a shard does what is there."""
    place.sync(request_id=MESSAGE, fan_out=topic.fan_out(own_calls=1, shard_calls=100), **BACKFILL)
    with local(matomo, tmp_path / "w.duckdb", sites=["2"], reports=list(SOME_TABLES[:2])) as changed:
        for message in topic.take():
            result = deliver(changed, message)
            assert (result.verdict, result.about.sites) == (Verdict.COMPLETE, ["2"])


@pytest.mark.parametrize(
    ("seconds", "config", "calls"),
    [(450, {}, 1800), (450, {"concurrency": 8}, 2250), (450, {"requests_per_minute": 60}, 450), (0.1, {}, 1)],
)
def test_a_run_has_time_for_the_calls_that_the_connector_allows(
    seconds: float, config: dict[str, int], calls: int, matomo: FakeMatomo, tmp_path: Path
) -> None:
    """By the calls at once and the seconds of each, or by those a minute, whichever is less."""
    bounds = {"concurrency": 4, "requests_per_minute": 300} | config
    with local(matomo, tmp_path / "w.duckdb", **bounds) as place:
        assert calls_within(seconds, place.connector, 1.0) == calls
