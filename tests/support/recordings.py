"""The recordings of a real Matomo, and what puts one of them through the client."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoError
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.transport import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matomo_fn.catalogue import Source

FOLDER = Path(__file__).parents[1] / "data" / "recordings"
UNLIMITED = 1_000_000  # calls a minute


@dataclass(frozen=True, slots=True)
class Recording:
    """One exchange; ``params`` are those of the URL and of the body together."""

    name: str
    path: str
    params: Mapping[str, str]
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def method(self) -> str:
        """The API's method, or nothing."""
        return self.params.get("method", "")

    @property
    def is_of_tracker(self) -> bool:
        """Whether it is an exchange with the tracker."""
        return self.path.endswith("/matomo.php")

    @property
    def reply(self) -> Reply:
        """The exchange as the transport hands it over."""
        return Reply(
            self.status,
            self.headers.get("content-type", ""),
            None,
            self.headers.get("location", ""),
            self.body.encode(),
        )

    @property
    def days(self) -> list[date]:
        """The days that the answer is keyed by; of another answer none."""
        try:
            value = json.loads(self.body)
            return [date.fromisoformat(key) for key in value] if isinstance(value, dict) else []
        except ValueError:
            return []


@cache
def read(name: str) -> Recording:
    """Return the recording of that file name."""
    raw = json.loads((FOLDER / name).read_text("utf-8"))
    request = raw["request"]
    params = {**(request.get("params") or {}), **(request.get("query") or {})}
    texts = {key: str(value) for key, value in params.items()}
    return Recording(name, request["path"], texts, raw["status"], raw["headers"], raw["body"])


@cache
def all_recordings() -> tuple[Recording, ...]:
    """Return every recording that the tests have."""
    return tuple(read(path.name) for path in sorted(FOLDER.glob("*.json")))


def error_of(recording: Recording) -> MatomoError | None:
    """Return the error that the answer is, or None where it is a value."""
    try:
        parse_response(Replay(recording.reply).redact, recording.method or "none", recording.reply)
    except MatomoError as error:
        return error
    return None


class Replay:
    """A transport that gives one reply to whatever is asked, and remembers what was."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.asked: list[tuple[str, dict[str, str]]] = []

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Give the reply."""
        self.asked.append((method, dict(form)))
        return self._reply

    def redact(self, text: str) -> str:
        """Leave a text as it is: a recording has no token in it."""
        return text


class Scripted:
    """A transport that answers by a function of the method and the form, and remembers what was asked."""

    def __init__(self, answer: Callable[[str, Mapping[str, str]], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Give what the function makes: a reply, a value to put into JSON, or an exception to raise."""
        self.asked.append((method, dict(form)))
        answer = self.answer(method, form)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else as_json(answer)

    def redact(self, text: str) -> str:
        """Leave a text as it is."""
        return text


def as_json(value: object, status: int = 200) -> Reply:
    """Return a value as the reply of Matomo's API."""
    return Reply(status, "application/json; charset=utf-8", None, "", json.dumps(value).encode())


def client_of(
    transport: Replay | Scripted,
    *,
    page_rows: int | None = None,
    deadline: Deadline | None = None,
    sleep: Callable[[float], None] = lambda _: None,
) -> MatomoClient:
    """Return a client that never waits."""
    moment = [0.0]

    def pass_by(seconds: float) -> None:
        sleep(seconds)
        moment[0] += seconds

    rate_limit = RateLimit(UNLIMITED, clock=lambda: moment[0], sleep=pass_by)
    return MatomoClient(transport, rate_limit, deadline or Deadline(), page_rows=page_rows, sleep=sleep)


def answers_of(recording: Recording, source: Source) -> list[tuple[date, object]]:
    """Return what the client makes of a recording for each day; an answer to no range stands for one day.

    A recorded single day is asked for in the way of reports that refuse ranges, with pages that hold it whole.
    Raises the MatomoError that ends the run; one that concerns a day takes the place of its answer.
    """
    days = recording.days
    if days:
        client = client_of(Replay(recording.reply))
        answered = client.report(replace(source, ranges=True), "1", Days.of(days))
    else:
        client = client_of(Replay(recording.reply), page_rows=1_000_000)
        answered = client.report(replace(source, ranges=False), "1", Days.of([date(2026, 11, 12)]))
    return list(answered.days.items())
