"""The tracker, `matomo.php`, as core/Tracker.php and plugins/BulkTracking have it: hits on their own and in bulk."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fake_matomo.hits import FailedHit, Hit, Params, RefusedHit, Sender, params_of, read_hit
from fake_matomo.php import decoded_json
from fake_matomo.reports import Archives
from fake_matomo.sites import Site, local_day
from fake_matomo.store import Traffic
from fake_matomo.tokens import Tokens
from fake_matomo.wire import NO_CONTENT, Answer, Request

PATHS = ("matomo.php", "piwik.php")

_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_HTML, _BULK = "text/html; charset=UTF-8", "application/json"
_ABOUT = (
    b"This resource is part of Matomo. Keep full control of your data with the leading free and open source"
    b" <a href='https://matomo.org' target='_blank' rel='noopener noreferrer nofollow'>web analytics & conversion"
    b" optimisation platform</a>.<br>\n"
    b"This file is the endpoint for the Matomo tracking API. If you want to access the Matomo UI or use the Reporting"
    b" API, please use <a href='index.php'>index.php</a> instead.\n"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a call of the tracker brings: hits, with the token that they share, and what it wants for an answer.

    `token` stands beside the hits, of a single hit in its parameters; `in_url` says that it was in the URL.
    """

    hits: tuple[Params, ...]
    bulk: bool
    token: str
    in_url: bool
    silent: bool

    @property
    def sites(self) -> frozenset[int]:
        """The sites of the hits."""
        ids = (params.get("idsite", "") for params in self.hits)
        return frozenset(int(one) for one in ids if one.isascii() and one.isdigit())


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: how many hits were taken, and the places of the refused ones.

    `authenticated` by a super user's token: only then Matomo names the places. `failed`: nothing was stored.
    """

    tracked: int
    invalid: tuple[int, ...] = ()
    authenticated: bool = False
    failed: bool = False


def read_batch(request: Request) -> Batch:
    """Return what a call brings: Matomo takes any body with `"requests"` in it for a bulk request."""
    if request.http_method == "POST" and request.raw.find(b'"requests"') > 0:
        return _bulk(request)
    params = {**request.body, **request.query}
    silent = params.get("send_image") == "0"
    in_url = bool(request.query.get("token_auth"))
    token = params.get("token_auth", "")
    return Batch((params,) if params else (), bulk=False, token=token, in_url=in_url, silent=silent)


def _bulk(request: Request) -> Batch:
    """Return the hits of a bulk request; there are none in a body that is no JSON.

    A text without a `?` is no URL with a query: Matomo passes over it without a word, and its place is not counted.
    """
    body = decoded_json(request.raw)
    given = body if isinstance(body, Mapping) else {}
    requests = given.get("requests")
    listed = requests.values() if isinstance(requests, Mapping) else requests if isinstance(requests, list) else ()
    read = ((one, params_of(one)) for one in listed)
    hits = tuple(params for one, params in read if params or not isinstance(one, str))
    token = given.get("token_auth")
    silent = "send_image" in given and given["send_image"] in (0, "0", "")
    return Batch(hits, bulk=True, token=token if isinstance(token, str) else "", in_url=False, silent=silent)


class Tracker:
    """Takes hits. Thread-safe."""

    def __init__(self, traffic: Traffic, tokens: Tokens, archives: Archives) -> None:
        self.traffic, self.tokens, self.archives = traffic, tokens, archives
        # [Tracker] record_statistics: without it, hits are answered and not stored.
        self.records = True

    def take(self, batch: Batch, request: Request) -> Taken:
        """Store the hits."""
        if not self.records:
            return Taken(0)
        now = self.traffic.now()
        if batch.bulk and batch.hits and batch.token and self.tokens.blocks(now):
            return Taken(0, failed=True)
        reader = _Reader(self, batch, request, int(now.timestamp()))
        hits: list[Hit] = []
        places: list[int] = []
        invalid: list[int] = []
        refused: list[tuple[Params, str]] = []
        for place, params in enumerate(batch.hits):
            try:
                # Matomo acknowledges an empty hit, too.
                hit = reader.read(params) if params else None
            except RefusedHit as reason:
                invalid.append(place)
                refused.append(({name: value for name, value in params.items() if name != "token_auth"}, str(reason)))
            except FailedHit:
                return Taken(place - len(invalid), tuple(invalid), failed=True)
            else:
                if hit is not None:
                    hits.append(hit)
                    places.append(place)
        if reader.failed_login:
            self.tokens.tracking_failed(now)
        self._keep_archives(hits)
        self.traffic.tracked.refuse(refused)
        invalid += [places[at] for at in self.traffic.tracked.take(hits)]
        superuser = self.tokens.tracking_user(batch.token, in_url=batch.in_url).superuser
        return Taken(
            len(batch.hits) - len(invalid), tuple(sorted(invalid)), authenticated=superuser and bool(batch.hits)
        )

    def _keep_archives(self, hits: Iterable[Hit]) -> None:
        """Keep the reports of past days as they are, unless those are archived with each hit."""
        if self.archives.archives_hits:
            return
        for site, day in {(hit.site, local_day(hit.site.timezone, hit.at)) for hit in hits}:
            if day < self.traffic.today(site):
                self.archives.keep(site, day, self.traffic.visits(site, day))

    def answer(self, batch: Batch, taken: Taken, http_method: str) -> Answer:
        """Return the answer to a call."""
        headers = {"Access-Control-Allow-Origin": "*"} if http_method != "GET" else {"Cache-Control": "no-store"}
        if batch.bulk:
            return _bulk_answer(batch, taken, headers)
        image = Answer(NO_CONTENT, _HTML, b"", headers) if batch.silent else Answer(200, "image/gif", _GIF, headers)
        if not self.records:
            return image if batch.silent else Answer(503, "image/gif", _GIF, headers)
        if taken.tracked and not taken.failed:
            return image
        if not batch.hits:
            return Answer(200 if http_method == "GET" else 400, _HTML, _ABOUT, headers)
        # Matomo writes the image before it finds that there is nothing to acknowledge.
        return Answer(400, _HTML if batch.silent else "image/gif", image.body + _ABOUT, headers)

    def unavailable(self, batch: Batch, http_method: str) -> Answer:
        """Return the answer of a tracker whose database is unreachable."""
        return self.answer(batch, Taken(0, failed=True), http_method)


def _bulk_answer(batch: Batch, taken: Taken, headers: Mapping[str, str]) -> Answer:
    if batch.silent and not taken.failed:
        return Answer(NO_CONTENT, _BULK, b"", headers)
    said: dict[str, object] = {
        "status": "error" if taken.failed else "success",
        "tracked": taken.tracked,
        "invalid": len(taken.invalid),
    }
    if taken.authenticated:
        said["invalid_indices"] = list(taken.invalid)
    return Answer(500 if taken.failed else 200, _BULK, json.dumps(said, separators=(",", ":")).encode(), headers)


class _Reader:
    """Reads the hits of a batch, and knows whether the token of one of them failed."""

    def __init__(self, tracker: Tracker, batch: Batch, request: Request, now: int) -> None:
        self.tracker, self.batch = tracker, batch
        self.failed_login = False
        self._token = batch.token
        self._sender = Sender(
            world=tracker.traffic.world,
            now=now,
            may_write=self._may_write,
            ip=request.client,
            user_agent=request.headers.get("User-Agent") or "",
            accept_language=request.headers.get("Accept-Language") or "",
        )

    def read(self, params: Params) -> Hit | None:
        """Return the hit; without a token beside the hits, each may have its own."""
        self._token = self.batch.token or params.get("token_auth", "")
        return read_hit(params, self._sender)

    def _may_write(self, site: Site) -> bool:
        user = self.tracker.tokens.tracking_user(self._token, in_url=self.batch.in_url)
        if user.may_write(site.id):
            return True
        self.failed_login = self.failed_login or bool(self._token)
        return False
