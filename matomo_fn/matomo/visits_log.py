"""Reading days of the visits log whole: Matomo's own paging by offset loses visits, this does not.

Pages are asked oldest last action first, each from one second before the last visit seen, and visits already seen
are dropped. So it does not matter how many visits share a second, nor what arrives meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping

from matomo_fn.days import Range
from matomo_fn.errors import InvalidResponse, ReportRefused
from matomo_fn.json_codec import UnreadVisit
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.values import as_integer, shown

METHOD = "Live.getLastVisitsDetails"
# Visits of the first page where nothing says how many there are.
_FIRST_LIMIT = 500
_LARGEST_LIMIT = 20_000
# A page of so few is not too much for any server, and a smaller one cannot go past a second that several visits share.
# Where it is refused all the same, it is requested twice more: what a server says of memory or time may pass.
_LEAST_LIMIT, _REPEATS = 4, 2
# Bytes that a page should have: parsed they take about ten times as much memory.
_TARGET_PAGE = 4 * 1024 * 1024
# Bytes of a visit, before any has come: 2,000 with their actions were 7.6 MB and took a small server 1.6 seconds.
_OF_VISIT = 3_800


class VisitsLogOff(ReportRefused):
    """The visits log is switched off for the site, or the token's user may not read it."""


class PageSize:
    """How many visits a page of a site has at most, by the bytes that its visits had so far.

    ``first``: how many the first page of days has, where that is not left to what is expected.
    """

    def __init__(self, first: int | None = None) -> None:
        self._first = first
        self._of_visit = float(_OF_VISIT)
        self.largest = _LARGEST_LIMIT

    @property
    def most(self) -> int:
        """How many visits are about as many bytes as a page should have."""
        return max(1, min(self.largest, int(_TARGET_PAGE / self._of_visit)))

    def first(self, expected: int | None) -> int:
        """Return how many visits the first page has, of days with so many: all, and one more tells that it is all."""
        if self._first is not None:
            return self._first
        return min(_FIRST_LIMIT, self.largest) if expected is None else min(expected + 1, self.most)

    def note(self, visits: int, size: int) -> None:
        """Take note of the bytes of a page."""
        if visits:
            self._of_visit = max(1.0, size / visits)


def read_visits(
    client: MatomoClient,
    site_id: str,
    days: Range,
    *,
    expected: int | None = None,
    pages: PageSize | None = None,
    is_whole: Callable[[], bool] = lambda: True,
) -> Iterator[object]:
    """Yield every visit of a site's days once, by the time of its last action.

    ``expected``: how many visits VisitsSummary.get counts. A page that is not full and brings the visits to that number
    ends the days if ``is_whole``, which is called when its last visit was taken, agrees; otherwise they end with a page
    that brings nothing new. A visit that gains an action meanwhile comes a second time, with its later last action.
    ``pages``: how large they are. Raises VisitsLogOff, another MatomoError, or InvalidResponse where the server does
    not page as it should.
    """
    pages = pages or PageSize()
    return _read(lambda most, after: client.visits_page(site_id, days, most, after), expected, pages, is_whole)


def find_visits(client: MatomoClient, site_id: str, days: Range, segment: str) -> Iterator[object]:
    """Yield every visit of a segment on a site's days once, as ``read_visits`` does."""
    return _read(
        lambda most, after: client.visits_of(site_id, days, segment, most, after), None, PageSize(), lambda: False
    )


def _read(
    page_of: Callable[[int, int | None], tuple[list[object], int]],
    expected: int | None,
    pages: PageSize,
    is_whole: Callable[[], bool],
) -> Iterator[object]:
    """Yield the visits of pages; ``page_of`` returns at most so many after a time, and the bytes that they had."""
    limit = pages.first(expected)
    last: int | None = None
    count = 0
    seen: set[int] = set()  # visits of the second ``last``; of earlier ones none can come again
    repeats = 0
    while True:
        try:
            page, size = page_of(limit, None if last is None else last - 1)
        except ReportRefused as error:
            smaller = _smaller(limit, error)
            if smaller < limit:
                limit = pages.largest = smaller
                continue
            if repeats == _REPEATS:
                raise
            repeats += 1
            continue
        pages.note(len(page), size)
        places = _places(page, last)
        new = [visit for visit, (key, moment) in zip(page, places, strict=True) if moment != last or key not in seen]
        yield from map(_read_visit, new)
        count += len(new)
        if count == expected and len(page) < limit and is_whole():
            return
        if new:
            newest = places[-1][1]
            seen = {key for key, moment in places if moment == newest} | (seen if newest == last else set())
            last = newest
            limit = max(1, min(pages.largest, 2 * limit, len(page) * _TARGET_PAGE // size))
        elif len(page) < limit:
            return
        else:
            limit = _larger(limit, pages.largest)


def _places(page: list[object], last: int | None) -> list[tuple[int, int]]:
    """Return the id and the time of the last action of each visit of a page, which have to be in order."""
    places = [_place(visit) for visit in page]
    moments = [moment for _, moment in places]
    if last is not None and moments and moments[0] < last:
        raise InvalidResponse(f"{METHOD} repeats a page: the server ignores minTimestamp")
    if moments != sorted(moments):
        raise InvalidResponse(f"{METHOD} does not answer in the order that was asked for")
    return places


def _place(visit: object) -> tuple[int, int]:
    """Return a visit's id and the time of its last action."""
    if isinstance(visit, UnreadVisit):
        visit = visit.fields()
    if not isinstance(visit, Mapping):
        raise InvalidResponse(f"{METHOD} answers {shown(visit)} where a visit belongs")
    try:
        return as_integer(visit["idVisit"]), as_integer(visit["lastActionTimestamp"])
    except KeyError as error:
        raise InvalidResponse(f"{METHOD} answers a visit without {error.args[0]}") from None
    except ValueError as error:
        raise InvalidResponse(f"{METHOD} answers a visit whose id or time {error}") from None


def _read_visit(visit: object) -> object:
    return visit.read() if isinstance(visit, UnreadVisit) else visit


def _smaller(limit: int, error: ReportRefused) -> int:
    """Return how many visits to request where so many were too much for the server, or raise its error.

    As many, where they are few.
    """
    text = str(error)
    if "deactivated" in text or "disabled" in text or "not enabled" in text or "requires" in text:
        raise VisitsLogOff(text) from None
    if not any(word in text for word in ("memory", "execution time", "MiB", "HTTP 5")):
        raise error
    return min(limit, max(_LEAST_LIMIT, limit // 4))


def _larger(limit: int, largest: int) -> int:
    """Return how many visits to ask where a full page brought nothing new: so many share a second."""
    if limit >= largest:
        raise InvalidResponse(f"{METHOD}: more than {limit} visits have their last action in one second")
    return min(largest, 4 * limit)
