"""The fake Matomo, and how a test or a demo controls it."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from threading import Thread
from types import TracebackType
from typing import Self

from fake_matomo.api import Api
from fake_matomo.faults import Faults
from fake_matomo.front import Call, Front
from fake_matomo.hits import Hit
from fake_matomo.purge import Purge
from fake_matomo.sites import Site, World
from fake_matomo.store import Traffic
from fake_matomo.tokens import Tokens
from fake_matomo.visits import Visit
from fake_matomo.wire import Answer, HttpServer, Request

# The default token, of a user with write access to all sites: it reads reports, and may send past hits.
TOKEN = "c0ffee00c0ffee00c0ffee00c0ffee00"  # noqa: S105 - gives access to the fake only


class FakeMatomo:
    """A Matomo for tests and demos: `with FakeMatomo(default_world()) as matomo: … matomo.url`.

    Everything may be called while it serves.
    """

    def __init__(
        self,
        world: World,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        mount: str = "",
        token: str = TOKEN,
        compress: bool = False,
    ) -> None:
        self.world = world
        self.mount = mount.rstrip("/")
        self.token = token
        self.compress = compress
        self.tokens = Tokens()
        self.tokens.add(token, writes=True)
        self.traffic = Traffic(world)
        self.api = Api(self.traffic, self.tokens)
        self._front = Front(self.api, self.tokens, mount=self.mount)
        self._address = (host, port)
        self._server: HttpServer | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server in a thread."""
        self._front.stopping.clear()
        self._server = HttpServer(self._address, self._front.serve, compress=self.compress)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="fake-matomo")
        self._thread.start()

    def stop(self) -> None:
        """Close all connections, and wait for the threads."""
        if self._server is None or self._thread is None:
            return
        self._front.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def answer(self, request: Request) -> Answer | None:
        """Answer a request that a server of the caller's own has read; None means to reset the connection."""
        return self._front.serve(request)

    @property
    def url(self) -> str:
        """The URL to configure, with a trailing slash."""
        if self._server is None:
            raise RuntimeError("the fake Matomo is not running: use it in a with statement")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}{self.mount}/"

    @property
    def faults(self) -> Faults:
        """The active faults: `add` and `clear`."""
        return self._front.faults

    @property
    def calls(self) -> list[Call]:
        """The calls so far, a copy."""
        with self._front.lock:
            return list(self._front.calls)

    @property
    def http_requests(self) -> int:
        """The number of HTTP requests so far."""
        with self._front.lock:
            return self._front.http_requests

    def forget_calls(self) -> None:
        """Clear `calls` and `http_requests`."""
        with self._front.lock:
            self._front.calls.clear()
            self._front.http_requests = 0

    @property
    def version(self) -> str:
        """The version that the instance reports."""
        return self.api.version

    @version.setter
    def version(self, version: str) -> None:
        self.api.version = version

    @property
    def default_limit(self) -> int:
        """The limit of a request without one (`API_datatable_default_limit`)."""
        return self.api.reports.default_limit

    @default_limit.setter
    def default_limit(self, rows: int) -> None:
        self.api.reports.default_limit = rows

    def now(self) -> datetime:
        """Return the time of the world's clock."""
        return self.traffic.now()

    def advance(self, by: timedelta) -> None:
        """Advance the world's clock."""
        self.traffic.advance(by)

    def add_report(self, entry: Mapping[str, object]) -> None:
        """Add a report, such as a plugin's, that is answered from its entry in `API.getReportMetadata` alone."""
        self.api.metadata.add(entry)

    def add_token(
        self,
        token: str,
        *,
        sites: Iterable[int] | None = None,
        superuser: bool = False,
        secure_only: bool = False,
        expired: bool = False,
        writes: bool = False,
    ) -> str:
        """Add a token and return it; `sites=None` is view access to all sites, with `writes` write access."""
        self.tokens.add(
            token, sites=sites, superuser=superuser, secure_only=secure_only, expired=expired, writes=writes
        )
        return token

    def unprocess(self, site_id: int, day: date) -> None:
        """Remove the day's archive: reports answer as for a day without visits, the visits log does not."""
        self.api.archives.missing.add((self._site(site_id).id, day))

    def process(self, site_id: int, day: date) -> None:
        """Archive the day, also where its reports were deleted."""
        self.api.archives.archive(self._site(site_id), day)

    def unprocess_period(self, site_id: int, period: str, first: date) -> None:
        """Remove the archive of a week, month or year; its days keep theirs."""
        self.api.archives.missing_periods.add((self._site(site_id).id, period, first))

    def process_period(self, site_id: int, period: str, first: date) -> None:
        """Archive the week, month or year."""
        self.api.archives.missing_periods.discard((self._site(site_id).id, period, first))

    def unprocess_segment(self, definition: str) -> None:
        """Remove all archives of a segment: reports answer as for no visits, the visits log does not."""
        self.api.archives.missing_segments.add(definition)

    def process_segment(self, definition: str) -> None:
        """Archive the segment."""
        self.api.archives.missing_segments.discard(definition)

    def save_segment(self, name: str, definition: str, *, only_site: int = 0, auto_archive: bool = True) -> None:
        """Save a segment in the segment editor, in the place of one of that name; `only_site=0` is for all sites."""
        self.api.saved_segments.save(name, definition, only_site=only_site, auto_archive=auto_archive)

    def change(self, site_id: int, day: date, *, to_empty: bool = False) -> None:
        """Change the day's traffic, or remove all of it."""
        self.traffic.change(self._site(site_id), day, to_empty=to_empty)

    def arrive(self, site_id: int, count: int = 1) -> tuple[Visit, ...]:
        """Add visits that happen now."""
        return self.traffic.arrive(self._site(site_id), count)

    def arrive_late(self, site_id: int, day: date, count: int = 1) -> tuple[Visit, ...]:
        """Add visits to a day that is over, which is archived again at once."""
        return self.traffic.arrive_late(self._site(site_id), day, count)

    def extend(self, site_id: int, visit: Visit | int) -> Visit:
        """Add an action that happens now to a visit, given by itself or by its id."""
        return self.traffic.extend(self._site(site_id), visit)

    def order(self, site_id: int, visit: Visit) -> Visit:
        """Add a visit that happens now, in which the visitor of a visit places an order."""
        return self.traffic.order(self._site(site_id), visit)

    def visits(self, site_id: int, day: date) -> tuple[Visit, ...]:
        """Return the visits of the site's day, whether archived or not."""
        return self.traffic.visits(self._site(site_id), day)

    @property
    def hits(self) -> list[Hit]:
        """The hits that were tracked, in the order in which they arrived; a copy.

        Also those that added nothing: a goal that a visit had converted before, or an order sent again to a visit with
        a cart.
        """
        return self.traffic.tracked.stored()

    def hits_of(self, visitor_id: str) -> list[Hit]:
        """Return the tracked hits of a visitor: `_id` and `cid` as they were sent, or the hash of the user id."""
        return self.traffic.tracked.stored(visitor_id)

    @property
    def refused_hits(self) -> list[tuple[dict[str, str], str]]:
        """The parameters of the hits that were refused, each with the reason; a copy."""
        return self.traffic.tracked.rejected()

    @property
    def record_statistics(self) -> bool:
        """Whether hits are stored; without it, the tracker only answers."""
        return self._front.tracker.records

    @record_statistics.setter
    def record_statistics(self, on: bool) -> None:
        self._front.tracker.records = on

    @property
    def archives_hits(self) -> bool:
        """Whether hits for past days are in their reports at once; if not, after `process`, as in a real Matomo."""
        return self.api.archives.archives_hits

    @archives_hits.setter
    def archives_hits(self, at_once: bool) -> None:
        self.api.archives.archives_hits = at_once

    def refuse_ranges(self, method: str) -> None:
        """Make a method refuse ranges of days, as `Referrers.getAll` does."""
        self.api.reports.refuses_ranges.add(method)

    def disable_visitor_log(self, site_id: int | None = None) -> None:
        """Disable the visits log of one site or of all."""
        self.api.live.disabled.add(site_id)

    def purge_visits(self, before: datetime) -> None:
        """Delete the visits of all sites whose last action was before a time, as Matomo deletes old raw data.

        The reports of those days stay as they are.
        """
        self.api.live.purged_until = int(before.timestamp())

    def purge_reports(self, before: date, *, keep_basic_metrics: bool = True) -> None:
        """Delete the reports of days before a day, as Matomo deletes old ones by its setting; by months in a real one.

        The raw visits stay as they are, and a day is archived again only by `process`.
        """
        self.api.archives.purge = Purge(before, keep_basic_metrics)

    def deactivate_plugin(self, plugin: str) -> None:
        """Deactivate a plugin."""
        self.api.inactive_plugins.add(plugin)

    def _site(self, site_id: int) -> Site:
        site = self.world.site(site_id)
        if site is None:
            raise LookupError(f"there is no site {site_id}")
        return site
