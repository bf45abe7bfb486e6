"""The page in a real browser: what stands on it, how it is used, and that it keeps to itself."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from matomo_fn.app.day_calendar import DAYS, Calendar
from matomo_fn.app.history import PastRun
from matomo_fn.app.report.facts import Facts, Visits
from matomo_fn.app.report.page import render
from matomo_fn.app.status import Status, TableStatus
from matomo_fn.slices import Stream
from tests.support import browser as browsers
from tests.support.ports import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.app.report.conftest import Spoilt

MEGABYTES_AT_MOST = 5
SECONDS_AT_MOST = 2
TIMEOUT = 20_000  # milliseconds
READY = "html[data-ready]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.started() as browser:
        yield browser


class Watched:
    """A page that is open, with what it requested and what went wrong in it."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        self.context = browser.new_context(**{"locale": "en-GB", **context})
        self.context.set_default_timeout(TIMEOUT)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.goto(file.as_uri())
        self.page.wait_for_selector(READY, state="attached")


@pytest.fixture
def opened(chromium: Browser, page_file: Path) -> Iterator[Watched]:
    """The page, from disk."""
    watched = Watched(chromium, page_file)
    yield watched
    assert watched.errors == []
    assert watched.requests == [page_file.as_uri()]
    watched.context.close()


def first_column(page: Page, host: str) -> list[str]:
    return page.locator(f"#{host} tbody th").all_inner_texts()


def test_the_calendar_has_each_day_in_its_state(opened: Watched, spoilt: Spoilt) -> None:
    """For eyes by colour and sign, for a screen reader by a word; of one table and site after its name was pressed."""
    page = opened.page

    def state_of(ago: int) -> str:
        return page.locator(f'#months td[title^="{spoilt.ago(ago)}"] .vh').inner_text()

    assert [state_of(ago) for ago in (5, 3, 8, 2)] == ["failed", "pending", "missing", "quality"]
    row = page.locator("#streams tbody tr", has_text="visitor_country").filter(has_text="Docs (2)")
    row.get_by_role("button").press("Enter")
    assert [state_of(ago) for ago in (5, 8, 2)] == ["written", "missing", "quality"]
    assert page.locator("#months caption").inner_text().startswith("visitor_country, Docs (2): 1 quality, 2 missing")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    image = row.get_by_role("img")
    assert (image.get_attribute("aria-label") or "").startswith("1 quality, 2 missing, ")
    page.get_by_role("button", name="Show all of them").click()
    assert state_of(5) == "failed"


def test_the_filter_is_for_everything(opened: Watched) -> None:
    """By a site's number or a part of its name, by table, and by what days there are."""
    page = opened.page
    assert page.locator("#f-count").inner_text() == "8 of 8 tables and sites"
    page.get_by_label("Site", exact=True).fill("doc")
    expect(page.locator("#f-count")).to_have_text("4 of 8 tables and sites")
    assert first_column(page, "sites") == ["Docs (2)"]
    page.get_by_label("Site", exact=True).fill("")
    page.get_by_label("Days", exact=True).select_option(label="some failed")
    expect(page.locator("#f-count")).to_have_text("1 of 8 tables and sites")
    assert first_column(page, "streams") == ["visits_summary"]
    page.get_by_role("button", name="Show all", exact=True).click()
    expect(page.locator("#f-count")).to_have_text("8 of 8 tables and sites")
    page.get_by_label("Site", exact=True).fill("nothing like it")
    expect(page.locator("#f-count")).to_have_text("0 of 8 tables and sites")
    assert page.get_by_text("No table and site is like that.").is_visible()


def test_a_table_is_sorted_by_its_heads(opened: Watched) -> None:
    """By keyboard too; numbers begin with the largest, and the head says the order."""
    page = opened.page
    head = page.locator("#streams thead th", has_text="Rows")
    head.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    cells = [int(text.replace(",", "")) for text in page.locator("#streams tbody td:nth-child(6)").all_inner_texts()]
    assert cells == sorted(cells, reverse=True)
    head.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    again = [int(text.replace(",", "")) for text in page.locator("#streams tbody td:nth-child(6)").all_inner_texts()]
    assert again == cells[::-1]


def test_charts_checks_and_runs_are_there(opened: Watched) -> None:
    page = opened.page
    assert page.locator("#visits-chart canvas").count() == 1
    assert page.locator("#visits-chart [role=img]").get_attribute("aria-label")
    assert page.locator("#checks-table").get_by_text("rows deleted").count() == 1
    assert page.locator("#checks-table tbody tr").first.locator("td").last.inner_text() == (
        "visitor_country of site 2: found 38 of 40"
    )
    assert page.locator("#runs-table tbody tr").count() >= 1
    assert page.locator("#channels-table tbody tr").count() >= 2
    page.get_by_role("checkbox", name="Docs (2) in the chart").uncheck()
    assert "Docs" not in (page.locator("#visits-chart [role=img]").get_attribute("aria-label") or "")


def test_a_browser_whose_language_is_none_draws_the_charts(chromium: Browser, page_file: Path) -> None:
    """It says en-US@posix, which is no language for Intl, and so for uPlot."""
    errors: list[object] = []
    with browsers.launched(chromium.browser_type, "C") as browser:
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(page_file.as_uri())
        expect(page.locator("#visits-chart canvas")).to_have_count(1)
        expect(page.locator("#broken")).to_be_hidden()
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: Browser, page_file: Path, scheme: str) -> None:
    """Rules of WCAG 2.2 A and AA and of good practice; contrast in both schemes, and on a narrow screen."""
    for width in (1200, 400):
        watched = Watched(chromium, page_file, color_scheme=scheme, viewport={"width": width, "height": 900})
        found = Axe().run(watched.page).response["violations"]
        grave = [
            f"{rule['id']} ({rule['impact']}): {node['html']}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
        assert grave == []
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        watched.context.close()


def test_no_request_leaves_the_page(chromium: Browser, page_file: Path, tmp_path: Path) -> None:
    """The policy refuses what a script in it would try: a fetch, a picture, a frame, a style, another script.

    A server on this machine would get all of them: it does where the page has no policy.
    """
    free = tmp_path / "free.html"
    free.write_text(page_file.read_text().replace("Content-Security-Policy", "nothing"))
    with listening() as (url, received):
        for file, expected in ((free, 5), (page_file, 0)):
            received.clear()
            context = chromium.new_context(locale="en-GB")
            page = context.new_page()
            page.goto(file.as_uri())
            page.wait_for_selector(READY, state="attached")
            page.evaluate(
                """async (url) => {
                    const ended = [fetch(url + "fetch", { mode: "no-cors" }).catch(() => null)];
                    for (const name of ["img", "iframe", "script", "link"]) {
                        const made = document.createElement(name), key = name === "link" ? "href" : "src";
                        if (name === "link") made.rel = "stylesheet";
                        ended.push(new Promise((done) => {
                            made.onload = made.onerror = done;
                            addEventListener("securitypolicyviolation", (event) => {
                                if (event.effectiveDirective.startsWith("frame") && name === "iframe") done();
                            });
                        }));
                        made[key] = url + name;
                        document.body.append(made);
                    }
                    await Promise.all(ended);
                }""",
                url,
            )
            context.close()
            assert len(received) == expected, received


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with nothing, and the paths that it was asked for."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOCAL, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://{LOCAL}:{server.server_port}/", received
        server.shutdown()
        thread.join()


def test_it_prints(opened: Watched) -> None:
    """All rows and no controls, dark on light whatever the screen has."""
    page = opened.page
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#filter").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF-")


def test_without_javascript_the_sentences_are_there(chromium: Browser, page_file: Path) -> None:
    """What is missing, and why the rest is not to be seen."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.get_by_text("drawn by JavaScript, which did not run here").is_visible()
    assert page.locator("ul.problems li").count() >= 3
    context.close()


def test_a_thousand_sites_of_twenty_tables_are_no_more_than_a_page(
    chromium: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a year of days, each line another one: small to send, and soon to be used.

    The time is that of the processor in the page's thread, since other tests run beside this one.
    """
    file = tmp_path / "large.html"
    file.write_text(render(large_facts()), encoding="utf-8")
    megabytes = file.stat().st_size / 1e6
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(file.as_uri())
    page.wait_for_selector(READY, state="attached")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    page.get_by_label("Site", exact=True).fill("777")
    expect(page.locator("#f-count")).to_have_text("20 of 20,000 tables and sites")
    elements = page.evaluate("document.querySelectorAll('*').length")
    with capsys.disabled():
        print(  # noqa: T201 - figures for those who read the output
            f"\nreport page of 1,000 sites x 20 tables x 365 days: {megabytes:.1f} MB, "
            f"{metrics['TaskDuration']:.2f} s of its thread until it is ready"
        )
    assert megabytes < MEGABYTES_AT_MOST
    assert metrics["TaskDuration"] < SECONDS_AT_MOST
    assert elements < 20_000
    context.close()


def large_facts() -> Facts:
    """Facts of a large connector; of 256 days some 30 are in another state than the others, by chance."""
    chance = random.Random(17)  # noqa: S311 - made-up data
    codes = bytes.maketrans(bytes(range(256)), b"f" + b"p" + b"q" + b"m" + b"u" * 18 + b"e" * 8 + b"w" * 226)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    last = now.date() - timedelta(days=1)
    streams = [Stream(f"table_{table}", str(site)) for table in range(20) for site in range(1, 1001)]
    lines = {stream: chance.randbytes(DAYS).translate(codes).decode() for stream in streams}
    tables = [
        TableStatus(stream, last - timedelta(days=364), last, 365, 2, 5000, 1, 1, None, now, None, is_configured=True)
        for stream in streams
    ]
    runs = [
        PastRun(f"r{n}", f"r{n}", "incremental", "complete", now, now + timedelta(seconds=n), n, 5, 0, 0, 0, n, n, None)
        for n in range(200)
    ]
    visits = Visits("visits_summary", {str(site): chance.choices(range(5000), k=DAYS) for site in range(1, 1001)})
    return Facts(
        Status("large", tables, Calendar(last - timedelta(days=DAYS - 1), lines), ["a sentence"]),
        "matomo_large",
        now,
        runs,
        visits,
        [{"website_id": str(s), "channel": c, "visits": s, "conversions": 1} for s in range(1, 1001) for c in "abcde"],
        [{"table_name": "table_1", "website_id": str(site), "others": 5, "total": 50} for site in range(1, 1001)],
        None,
        {str(site): f"Shop number {site}" for site in range(1, 1001)},
    )
