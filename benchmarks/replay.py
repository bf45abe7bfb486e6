"""`python -m benchmarks.replay`: a Matomo that answers at once, for as long as its standard input is open.

The sample Matomo makes some 10,000 rows a second, so that a sync of a million would wait for it. This one asks the
sample for a month and answers any range of days with that month's, again and again: bytes of the real size and
variety, put together without being made.
"""

import json
import sys
from datetime import UTC, date, datetime, timedelta
from threading import Lock, Thread
from urllib.parse import urlencode
from urllib.request import urlopen

import click

from benchmarks.worlds import PAGES, wide_world
from fake_matomo import FakeMatomo
from fake_matomo.wire import Answer, HttpServer, Request, json_answer
from matomo_fn.days import Days

_DAYS = 31


class Replay:
    """Answers by what a sample Matomo says of one month."""

    def __init__(self, matomo: FakeMatomo) -> None:
        self._matomo = matomo
        self._month: dict[str, list[bytes]] = {}
        self._lock = Lock()

    def serve(self, request: Request) -> Answer:
        """Answer a range of days from the month, and anything else as the sample does."""
        params = request.params
        if "," not in params.get("date", ""):
            return json_answer(200, self._ask(params))
        first, last = map(date.fromisoformat, params["date"].split(","))
        month = self._month_of(params)
        parts = (b'"%s":%s' % (str(day).encode(), month[day.toordinal() % _DAYS]) for day in Days.between(first, last))
        return Answer(200, "application/json; charset=utf-8", b"{" + b",".join(parts) + b"}")

    def _month_of(self, params: dict[str, str]) -> list[bytes]:
        method = params["method"]
        with self._lock:
            if method not in self._month:
                last = datetime.now(UTC).date() - timedelta(days=1)
                answer = self._ask(params | {"idSite": "1", "date": f"{last - timedelta(days=_DAYS - 1)},{last}"})
                assert isinstance(answer, dict)
                self._month[method] = [json_answer(200, value).body for value in answer.values()]
            return self._month[method]

    def _ask(self, params: dict[str, str]) -> object:
        with urlopen(f"{self._matomo.url}index.php?module=API", urlencode(params).encode()) as answer:
            return json.load(answer)


@click.command()
@click.option("--sites", type=int, required=True, help="How many sites there are.")
@click.option("--pages", type=int, default=PAGES, help="How many pages each site has.")
def main(sites: int, pages: int) -> None:
    """Serve, and tell address and token in one line."""
    with FakeMatomo(wide_world(sites, pages)) as matomo:
        server = HttpServer(("127.0.0.1", 0), Replay(matomo).serve, compress=False)
        thread = Thread(target=server.serve_forever)
        thread.start()
        print(f"http://127.0.0.1:{server.server_address[1]}/ {matomo.token}", flush=True)
        sys.stdin.read()
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    main()
