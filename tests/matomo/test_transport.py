"""One HTTP exchange: what goes over the wire, what comes back, and where the token may stand."""

from __future__ import annotations

import gzip
import html
import json
import socket
import threading
import traceback
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus

import pytest

from matomo_fn import __version__
from matomo_fn.config.token import Token
from matomo_fn.daemon_threads import DaemonThreads
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoError, MatomoFatal, MatomoUnavailable, ReportRefused, Stopped, TokenRefused
from matomo_fn.matomo import name_lookup
from matomo_fn.matomo.interruptible import InterruptibleTransport
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.transport import MAX_ANSWER, AnswerTooLarge, HttpTransport
from tests.support.canary import CANARY, assert_absent, find
from tests.support.ports import LOCAL, free_ports
from tests.support.wire import WireServer, answer, self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Matomo for WordPress takes a user's name and an application password; the signs are those that encodings touch.
WORDPRESS = "jörg@shop & co:aB3d EFgh/1jkL+mn=P"


def transport_to(url: str, token: str = CANARY, *, timeout: float = 10.0) -> HttpTransport:
    return HttpTransport(url, Token(token), timeout=timeout, deadline=Deadline())


def exchange(
    sent: bytes, form: dict[str, str] | None = None, token: str = CANARY, *, silent: bool = False, timeout: float = 10.0
) -> bytes:
    """Post one call and return the request as it came; raises what the transport raises."""
    with WireServer(sent, silent=silent) as server:
        transport_to(server.url, token, timeout=timeout).post("VisitsSummary.get", form or {})
        return server.requests[0]


def parts(raw: bytes) -> tuple[str, dict[str, str], list[tuple[str, str]]]:
    """The request line, the headers and the fields of the form."""
    head, _, body = raw.decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    return line, dict(header.split(": ", 1) for header in headers), parse_qsl(body, keep_blank_values=True)


# ---- what is sent


@pytest.mark.parametrize("token", [CANARY, WORDPRESS])
def test_the_token_stands_in_the_body_only(token: str) -> None:
    """Neither the URL nor a header has the token, in whatever spelling."""
    raw = exchange(answer(), {"idSite": "1"}, token)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert find(head, token) is None
    assert dict(parse_qsl(body.decode()))["token_auth"] == token


def test_the_token_is_the_first_field_of_the_form() -> None:
    """Past some 1,000 fields PHP drops the rest, so the token must not stand last."""
    form = {f"urls[{index}]": f"method=API.get&date={index}" for index in range(3)}
    _, _, fields = parts(exchange(answer(), form))
    assert fields == [("token_auth", CANARY), *form.items()]


def test_module_method_and_format_stand_in_the_url_and_nothing_else_does() -> None:
    """In that form a refused token is answered in JSON rather than by a page."""
    line, _, fields = parts(exchange(answer(), {"idSite": "1", "date": "2026-11-01,2026-11-06"}))
    assert line == "POST /index.php?module=API&method=VisitsSummary.get&format=json HTTP/1.1"
    assert not {"module", "method", "format"} & {name for name, _ in fields}


def test_the_values_of_the_form_arrive_as_they_were_given() -> None:
    """Segments and labels keep their signs."""
    value = "pageTitle==A & B;city=@Zürich,x==100%25 +1"
    assert ("segment", value) in parts(exchange(answer(), {"segment": value}))[2]


def test_the_user_agent_names_the_project_and_its_version() -> None:
    """Whoever runs the Matomo can see who asks."""
    _, headers, _ = parts(exchange(answer()))
    assert headers["User-Agent"] == f"matomo-fn/{__version__} (Matomo to BigQuery)"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in headers


def test_a_netrc_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that lies around for the same host is none of Matomo's business."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {LOCAL} login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert b"authorization" not in exchange(answer()).lower()


# ---- what comes back


def test_a_reply_has_what_an_answer_is_judged_by() -> None:
    """Status, content type, the wait in seconds, the redirect's target and the body's very bytes."""
    sent = answer(b'{"a":1}', "503 Busy", retry_after="17", location="https://elsewhere.example.com/")
    with WireServer(sent) as server:
        reply = transport_to(server.url).post("API.get", {})
    assert (reply.status, reply.content_type, reply.retry_after) == (503, "application/json", 17.0)
    assert (reply.location, reply.body) == ("https://elsewhere.example.com/", b'{"a":1}')


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "", "soon", "\u00b2", "1e9"])
def test_a_wait_that_is_no_number_of_seconds_is_none(header: str) -> None:
    """Retry-After may be a date or anything else; it must not end the run."""
    with WireServer(answer(retry_after=header)) as server:
        assert transport_to(server.url).post("API.get", {}).retry_after is None


def test_a_packed_answer_is_unpacked() -> None:
    """Matomo's web server may answer with gzip."""
    with WireServer(answer(gzip.compress(b'{"value":1}'), content_encoding="gzip")) as server:
        assert transport_to(server.url).post("API.get", {}).body == b'{"value":1}'


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(status: str) -> None:
    """The body would be lost, or the token go to another host: one request, and the redirect is the reply."""
    with WireServer(answer()) as other, WireServer(answer(b"", status, location=f"{other.url}x")) as server:
        reply = transport_to(server.url).post("API.get", {})
        assert reply.location == f"{other.url}x"
        assert (len(server.requests), len(other.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("body", "fields"),
    [(gzip.compress(bytes(MAX_ANSWER + 1), compresslevel=1), {}), (b"no gzip at all", {"content_length": "4000"})],
    ids=["too large", "broken and cut off"],
)
def test_the_body_of_a_redirect_is_not_read(body: bytes, fields: dict[str, str]) -> None:
    """It says nothing, could be larger than the memory once it is unpacked, or raise what requests does not foresee."""
    sent = answer(body, "302 Found", location="https://x.example.com/", content_encoding="gzip", **fields)
    with WireServer(sent) as server:
        reply = transport_to(server.url).post("API.get", {})
    assert (reply.status, reply.location, reply.body) == (302, "https://x.example.com/", b"")


# ---- what goes wrong


def test_an_answer_that_does_not_come_in_time_is_unavailable() -> None:
    """The connector's timeout_seconds bounds the wait, and the sentence says so."""
    with pytest.raises(MatomoUnavailable, match=r"VisitsSummary\.get had no whole answer within 0\.05 seconds"):
        exchange(b"", silent=True, timeout=0.05)


def test_an_answer_that_stops_in_the_middle_is_unavailable() -> None:
    """A server that goes silent in the body is no shorter answer."""
    whole = answer(b"[" + b"1," * 1000 + b"1]")
    with pytest.raises(MatomoUnavailable, match=r"VisitsSummary\.get had no whole answer within 0\.05 seconds"):
        exchange(whole[:-100], silent=True, timeout=0.05)


@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[", b"1,"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n"),
    ],
    ids=["headers", "before them", "body", "body that ends with the connection", "chunks"],
)
@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_an_answer_that_comes_a_byte_at_a_time_is_given_up_in_time(
    sent: bytes, drip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_tls: bool
) -> None:
    """timeout_seconds bounds the whole exchange, and not each read of it; what came until then is no answer."""
    tls = self_signed(tmp_path) if is_tls else None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    with WireServer(sent, drip=drip, tls=tls) as server:
        started = monotonic()
        with pytest.raises(MatomoUnavailable, match=r"VisitsSummary\.get had no whole answer within 0\.3 seconds"):
            transport_to(server.url, timeout=0.3).post("VisitsSummary.get", {})
        assert monotonic() - started < 5
        assert len(server.requests) == 1


def test_a_connection_that_is_used_again_is_bounded_again() -> None:
    """The second exchange of a connection that was kept open is given up like the first."""
    whole = answer(b"[]")
    with WireServer(whole, again=whole[:20], drip=b"a") as server:
        transport = transport_to(server.url, timeout=0.3)
        assert transport.post("API.get", {}).body == b"[]"
        started = monotonic()
        with pytest.raises(MatomoUnavailable, match=r"had no whole answer within 0\.3 seconds"):
            transport.post("API.get", {})
        assert monotonic() - started < 5
        assert (server.connections, len(server.requests)) == (1, 2)


def test_the_deadline_bounds_the_wait_as_well() -> None:
    """A run that has little time left does not wait for the whole timeout_seconds."""
    with WireServer(b"", silent=True) as server:
        deadline = Deadline(1060.05, clock=iter([0.0, 1000.0]).__next__)
        transport = HttpTransport(server.url, Token(CANARY), timeout=600, deadline=deadline)
        with pytest.raises(MatomoUnavailable, match=r"within 0\.05 seconds"):
            transport.post("API.get", {})


def test_a_connection_that_does_not_come_about_is_unavailable() -> None:
    """A host that takes no connection is given up in time, and the sentence names the time that it had."""
    with socket.create_server((LOCAL, 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.settimeout(0)
                filler.connect_ex(full.getsockname())
            url = f"http://{LOCAL}:{full.getsockname()[1]}/"
            with pytest.raises(MatomoUnavailable, match=r"no connection within 0\.1 seconds"):
                transport_to(url, timeout=0.1).post("API.get", {})
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"[1,2,3]", content_length="4000"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\n",
    ],
    ids=["content-length", "chunked"],
)
def test_a_body_that_is_cut_off_is_no_answer(sent: bytes) -> None:
    """Fewer bytes than announced are not read as if they were all."""
    with pytest.raises(MatomoUnavailable, match=r"the answer to VisitsSummary\.get broke off"):
        exchange(sent)


def test_a_body_that_cannot_be_unpacked_is_unavailable() -> None:
    """A broken gzip stream is a fault of the way, not of the report."""
    with pytest.raises(MatomoUnavailable, match=r"VisitsSummary\.get failed: ContentDecodingError"):
        exchange(answer(b"no gzip at all", content_encoding="gzip"))


def test_a_server_that_hangs_up_is_unavailable() -> None:
    """Nothing came back at all."""
    with pytest.raises(MatomoUnavailable, match="the connection broke off"):
        exchange(b"")


def test_an_answer_past_the_limit_is_refused_and_says_what_helps() -> None:
    """More than fits into memory is not read on, also when it came packed and small."""
    packed = gzip.compress(bytes(MAX_ANSWER + 1), compresslevel=1)
    with pytest.raises(AnswerTooLarge, match="has more than 64 MiB: set page_rows") as raised:
        exchange(answer(packed, content_encoding="gzip"))
    assert isinstance(raised.value, ReportRefused)  # so that days are asked one by one


def test_a_refused_connection_is_unavailable() -> None:
    """Nobody listens there, now."""
    (port,) = free_ports(1)
    with pytest.raises(MatomoUnavailable, match="the connection was refused"):
        transport_to(f"http://{LOCAL}:{port}/").post("API.get", {})


def test_a_name_that_does_not_exist_is_said_so() -> None:
    """The likely reason is the configured URL."""
    with pytest.raises(MatomoUnavailable, match="its name is not known: check matomo_url"):
        transport_to("http://matomo.invalid/").post("API.get", {})


class SilentResolver:
    """Name servers that do not answer until the test is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Event()
        self.over = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self)
        monkeypatch.setattr(name_lookup, "_threads", DaemonThreads("look-up"))

    def __call__(self, *_: object, **__: object) -> list[object]:
        """Answer too late, that there is no such name."""
        self.asked.set()
        self.over.wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentResolver]:
    """A resolver that hangs."""
    silent = SilentResolver(monkeypatch)
    yield silent
    silent.over.set()


@pytest.mark.timeout(20)
def test_a_name_that_is_not_looked_up_in_time_is_unavailable(resolver: SilentResolver) -> None:
    """The system's resolver takes no limit, so it is left behind; its thread ends when it answers."""
    before = set(threading.enumerate())
    sentence = r"its name could not be looked up \(no answer within 0\.\d+ seconds\): check the name servers"
    with pytest.raises(MatomoUnavailable, match=sentence):
        transport_to("https://matomo.invalid/", timeout=0.05).post("VisitsSummary.get", {})
    (left,) = (thread for thread in threading.enumerate() if thread not in before and thread.name == "look-up")
    resolver.over.set()
    left.join()


@pytest.mark.timeout(20)
def test_a_signal_ends_a_run_that_looks_up_a_name(resolver: SilentResolver) -> None:
    """It does not wait for the resolver, however long a call may take."""
    deadline = Deadline()
    transport = InterruptibleTransport(transport_to("https://matomo.invalid/", timeout=1000), deadline)

    def interrupt() -> None:
        resolver.asked.wait()
        deadline.interrupt("SIGTERM")

    signal = threading.Thread(target=interrupt)
    signal.start()
    with pytest.raises(Stopped):
        transport.post("VisitsSummary.get", {})
    signal.join()


def test_a_certificate_that_nobody_trusts_ends_the_run(tmp_path: Path) -> None:
    """No later try can succeed, and the token is not sent."""
    with WireServer(answer(), tls=self_signed(tmp_path)) as server:
        with pytest.raises(MatomoFatal, match="its certificate is not valid for that name or not trusted"):
            transport_to(server.url).post("API.get", {})
        assert server.requests == []


def test_a_tls_handshake_that_is_cut_short_is_a_connection_that_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart or a proxy does that; the next try has its answer."""
    tls = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    with WireServer(answer(), tls=tls, cut=1) as server:
        transport = transport_to(server.url)
        with pytest.raises(MatomoUnavailable, match=r"the TLS handshake failed \(|the connection broke off"):
            transport.post("API.get", {})
        assert transport.post("API.get", {}).body == b"[]"


def test_a_server_that_speaks_no_tls_ends_the_run() -> None:
    """It will not learn it until the next try."""
    with WireServer(answer()) as server, pytest.raises(MatomoFatal, match="there is no HTTPS at that address"):
        transport_to(server.url.replace("http:", "https:")).post("API.get", {})


# ---- where connections may go


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "metadata.google.internal", "metadata.google.internal.",
     "Metadata.Google.Internal", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd20:ce::254]"],
)  # fmt: skip
@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9/"], ids=["direct", "proxy"])
def test_the_metadata_server_of_a_cloud_is_never_asked(
    host: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the token, and its answer would stand in an error: no connection is tried, by a proxy neither."""
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(MatomoFatal, match="is a cloud's metadata server or link-local, where no Matomo is"):
        transport_to(f"http://{host}/").post("API.get", {})


def test_a_name_that_resolves_to_a_metadata_server_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the address that the connection would go to, also where the name had another one before."""
    with WireServer(answer(connection="close")) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        answers = iter([LOCAL, "169.254.169.254"])

        def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
            number = host if host == LOCAL else next(answers)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (number, port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        transport = transport_to(f"http://rebound.example.com:{port}/")
        assert transport.post("API.get", {}).body == b"[]"
        with pytest.raises(MatomoFatal, match=r"169\.254\.169\.254 is a cloud's metadata server"):
            transport.post("API.get", {})
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "[::1]", "[fc00::1]",
     "[::ffff:10.0.0.1]"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_where_the_process_is_told_so(address: str) -> None:
    """A function that many may configure must not become a way into the network that it runs in."""
    transport = HttpTransport(
        f"http://{address}:9/", Token(CANARY), timeout=1, deadline=Deadline(), allow_private=False
    )
    with pytest.raises(MatomoFatal, match="is not public, and MATOMO_FN_ALLOW_PRIVATE_ADDRESSES is false"):
        transport.post("API.get", {})


def test_a_proxy_may_stand_at_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own choice, and where a network has one it is private."""
    with WireServer(answer()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        url = "http://matomo.example.com/"
        transport = HttpTransport(url, Token(CANARY), timeout=5, deadline=Deadline(), allow_private=False)
        assert transport.post("API.get", {}).body == b"[]"
        assert proxy.requests[0].startswith(b"POST http://matomo.example.com/index.php")


# ---- the token in what is shown


def spellings(token: str) -> dict[str, str]:
    """How servers and their libraries write a text that they repeat."""
    return {
        "as it is": token,
        "percent": quote(token, safe=""),
        "percent, slashes kept": quote(token),
        "percent, much kept": quote(token, safe="/:@&=+"),
        "percent, small letters": _small(quote(token, safe="")),
        "percent twice": quote(quote(token, safe=""), safe=""),
        "form": quote_plus(token),
        "form, small letters": _small(quote_plus(token)),
        "html": html.escape(token),
        "json": json.dumps(token)[1:-1],
        "json of php": json.dumps(token)[1:-1].replace("/", "\\/"),
    }


def _small(text: str) -> str:
    """The hexadecimal digits of a percent-encoded text in lower case."""
    first, *rest = text.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


@pytest.mark.parametrize("token", [CANARY, WORDPRESS], ids=["matomo", "wordpress"])
@pytest.mark.parametrize("spelling", spellings(""))
def test_a_text_is_cleaned_of_the_token_in_every_spelling(spelling: str, token: str) -> None:
    """Whatever Matomo, PHP or a proxy makes of the token, nothing of it is left."""
    written = spellings(token)[spelling]
    assert transport_to("http://localhost/", token).redact(f"before {written} after {written}") == (
        "before *** after ***"
    )


@pytest.mark.parametrize("token", [CANARY, WORDPRESS], ids=["matomo", "wordpress"])
@pytest.mark.parametrize("spelling", spellings(""))
@pytest.mark.parametrize("place", ["message", "bulk", "page", "text", "location", "behind blanks"])
def test_an_error_never_repeats_the_token(place: str, spelling: str, token: str) -> None:
    """A server that echoes the token in a message, a page or a redirect does not bring it into a log."""
    written = spellings(token)[spelling]
    message = json.dumps({"result": "error", "message": f"token_auth={written} is bad. {written}"})
    sent = {
        "message": answer(message),
        "bulk": answer(message, "500 Error"),
        "page": answer(f"<html>{written}</html>", "500 Error", content_type="text/html"),
        "text": answer(f"Error: {written}", content_type="text/plain"),
        "location": answer(b"", "302 Found", location=quote(f"https://x/?token_auth={written}", safe="/:?=%+&;@\\")),
        "behind blanks": answer(" " * (2_000 - len(written) // 2) + written, content_type="text/plain"),
    }[place]
    with WireServer(sent) as server:
        transport = transport_to(server.url, token)
        reply = transport.post("API.get", {})
    with pytest.raises(MatomoError) as raised:
        parse_response(transport.redact, "API.get", reply)
    shown = f"{raised.value}\n{''.join(traceback.format_exception(raised.value))}"
    assert_absent(token, error=shown)
    assert written not in shown
    assert written[: len(written) // 2] not in shown


@pytest.mark.parametrize(
    "sent",
    [b"", answer(b"x", content_length="9"), answer(b"no gzip at all", content_encoding="gzip")],
    ids=["none", "cut", "gzip"],
)
def test_no_failure_of_the_network_shows_the_token(sent: bytes) -> None:
    """The errors of the HTTP library carry the request; none of them is passed on."""
    with pytest.raises(MatomoUnavailable) as raised:
        exchange(sent)
    assert_absent(error="".join(traceback.format_exception(raised.value)), text=repr(raised.value))
    assert raised.value.__suppress_context__


def test_the_token_has_no_representation() -> None:
    """Neither the token nor what holds it shows it when printed."""
    token = Token(CANARY)
    transport = HttpTransport("http://localhost/", token, timeout=1, deadline=Deadline())
    assert repr(token) == str(token) == f"{token}" == "Token(***)"
    assert_absent(transport=repr(transport), state=repr(vars(transport)))


def test_a_refused_token_is_told_from_other_errors_over_the_wire() -> None:
    """The sentence says which secret to fix and has nothing of Matomo's own text."""
    sent = answer(json.dumps({"result": "error", "message": f"Unable to authenticate with {CANARY}"}), "401 No")
    with WireServer(sent) as server:
        transport = transport_to(server.url)
        reply = transport.post("API.get", {})
    with pytest.raises(TokenRefused, match=r"^Matomo refused the token: it is wrong, expired or revoked\."):
        parse_response(transport.redact, "API.get", reply)
