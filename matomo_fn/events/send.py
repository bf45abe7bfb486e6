"""Sending the hits of messages: call by call, in their order, and what each answer means for each hit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from matomo_fn.errors import AnswerLost, CallTooLarge, MatomoError, MatomoFatal, NotTaken
from matomo_fn.events.message import Message
from matomo_fn.events.settle import CannotSettle, Settler
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.tracking import Taken, Tracker
from matomo_fn.values import encode

log = structlog.get_logger()

# Bytes of the hits of one call: PHP takes 8 MB by default, and a web server in front of it often one.
_MOST_BYTES = 900_000
# Calls in a row whose answers were lost, before the run ends: more would only make more hits uncertain.
_MOST_LOST = 3
_REFUSED = "Matomo refused it (invalid): a parameter is wrong, or the site or goal is not there"
_TOO_LARGE = "the server takes no call of its size"

# A hit: its message, and its position there.
_Unit = tuple[Message, int]


@dataclass(slots=True)
class Sent:
    """What sending came to: ``hits`` taken, and what went wrong. ``fatal`` ended it before all hits were sent."""

    hits: int = 0
    fatal: MatomoError | None = None
    lost: list[str] = field(default_factory=list)


class Sender:
    """Sends the hits of messages, a few hundred a call; one call at a time, since Matomo's transactions block others.

    ``settler`` finds what Matomo refused where it says only how much.
    """

    def __init__(
        self, tracker: Tracker, client: MatomoClient, settler: Settler, site_id: str, hits_per_call: int
    ) -> None:
        self._tracker = tracker
        self._client = client
        self._settler = settler
        self._site_id = site_id
        self._hits_per_call = hits_per_call
        self._is_writable = False

    def send(self, messages: Sequence[Message], time_left: Callable[[], float]) -> Sent:
        """Send the waiting hits of messages in order, and note in each message what became of them.

        Behind a hit whose fate is not known no more is sent of its visitor. ``time_left``: seconds until which no call
        may be out.
        """
        sent = Sent()
        units: list[_Unit] = [(message, at) for message in messages for at in message.waiting]
        unclear: set[str] = set()
        in_a_row = 0
        while units and sent.fatal is None:
            call, units = self._next(units)
            try:
                in_a_row = in_a_row + 1 if self._send(call, time_left, sent) else 0
            except CallTooLarge:
                units = [*call, *units]
                self._hits_per_call = len(call) // 2
            except MatomoError as error:
                sent.fatal = error
            if in_a_row >= _MOST_LOST:
                sent.fatal = AnswerLost(f"{sent.lost[-1]}; {in_a_row} calls in a row had no answer, so the run ends")
            unclear.update(message.visitor for message, at in call if at in message.uncertain)
            units = [(message, at) for message, at in units if message.visitor not in unclear]
        return sent

    def _next(self, units: Sequence[_Unit]) -> tuple[list[_Unit], list[_Unit]]:
        """Return the hits of the next call, and the others.

        A message that was in calls without an answer, or of which it is not known what Matomo refused, goes out with
        half as many others each time, so that what disturbs a call is alone in the end.
        """
        size, most = 0, self._hits_per_call
        for count, (message, at) in enumerate(units):
            most = min(most, max(1, self._hits_per_call >> message.attempts))
            size += len(encode(dict(message.hits[at].parameters)).encode(errors="replace"))
            if count and (count >= most or size > _MOST_BYTES):
                return list(units[:count]), list(units[count:])
        return list(units), []

    def _send(self, call: Sequence[_Unit], time_left: Callable[[], float], sent: Sent) -> bool:
        """Send a call, note what became of its hits, and return whether its answer was lost."""
        for message, at in call:  # before it goes out: whatever happens from here on, it may be in Matomo
            message.uncertain.add(at)
            message.went_out = True
        try:
            taken = self._tracker.send([message.hits[at].parameters for message, at in call], time_left)
        except AnswerLost as error:
            for message, _ in call:
                message.reason = str(error)
            sent.lost.append(str(error))
            return True
        except (NotTaken, MatomoFatal) as error:
            _take_back(call)
            if not isinstance(error, CallTooLarge) or len(call) > 1:
                raise
            message, at = call[0]
            message.refused[at] = _TOO_LARGE
            return False
        sent.hits += taken.tracked
        self._judge(call, taken)
        return False

    def _judge(self, call: Sequence[_Unit], taken: Taken) -> None:
        """Note which hits of a call were taken and which refused, as far as that is known.

        Raises MatomoFatal where Matomo refused them because the token may not write to the site.
        """
        if not taken.tracked:
            _take_back(call)  # whatever the reason, Matomo has none of them
        if taken.invalid and (taken.refused is None or not taken.tracked):
            self._check_access()
        if taken.refused is not None:
            refused: set[int] = set(taken.refused)
        elif not taken.tracked:
            refused = set(range(len(call)))
        else:
            self._ask_for_refused(call, taken)
            return
        for index, (message, at) in enumerate(call):
            message.uncertain.discard(at)
            if index in refused:
                message.refused[at] = _REFUSED
            else:
                message.done.add(at)

    def _ask_for_refused(self, call: Sequence[_Unit], taken: Taken) -> None:
        """Note which hits of a call were taken, where Matomo only says how many it refused.

        A hit that it shows was taken. Of the others as many as it refused are refused, if there are no more of them: a
        visit that Matomo excludes, a ping or a cart is taken and not shown. Otherwise they stay uncertain.
        """
        messages = list({id(message): message for message, _ in call}.values())
        try:
            self._settler.settle(messages)
        except CannotSettle as error:
            for message in messages:
                message.reason = f"Matomo refused {taken.invalid} of {len(call)} hits without saying which. {error}"
            return
        unknown = [(message, at) for message, at in call if at not in message.done]
        is_certain = len(unknown) == taken.invalid
        for message, at in call:
            if at in message.done:
                message.uncertain.discard(at)
        for message, at in unknown:
            message.reason = f"Matomo refused {taken.invalid} of {len(call)} hits without saying which"
            if is_certain:
                message.uncertain.discard(at)
                message.refused[at] = _REFUSED

    def _check_access(self) -> None:
        """Raise MatomoFatal where the token may not write to the site: then that is why hits were refused.

        Asked once, and only where it may be the reason: Matomo's tracker says nothing of tokens.
        """
        if self._is_writable:
            return
        if self._site_id not in self._client.writable_sites():
            raise MatomoFatal(
                f"the token may not write to site {self._site_id} (events.site), so Matomo refuses hits: give the "
                "token's user write access to that site, or correct the site"
            )
        self._is_writable = True


def _take_back(call: Sequence[_Unit]) -> None:
    """Note that the hits of a call are not in Matomo."""
    for message, at in call:
        message.uncertain.discard(at)
    for message, _ in call:
        message.went_out = bool(message.uncertain or message.done or message.refused)
