"""GET / of the function: the page, the status, and sentences."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.support import shop as shops
from tests.support.canary import assert_absent

if TYPE_CHECKING:
    from pathlib import Path

    from werkzeug.test import TestResponse

    from tests.app.report.conftest import Spoilt
    from tests.support.shop import Shop

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def get(shop: Shop, path: str = "/", accept: str = "*/*", **env: str) -> TestResponse:
    """What the function answers."""
    with mock.patch.dict("os.environ", shop.env | env):
        answer = shops.http().get(path, headers={"Accept": accept})
    assert_absent(answer=answer.get_data())
    return answer


@pytest.mark.parametrize("path", ["/", "/?connector=shop"])
@pytest.mark.parametrize("accept", [BROWSER, "*/*", "text/html, application/json"])
def test_the_page_is_answered(spoilt: Spoilt, path: str, accept: str) -> None:
    """With the policy of the page as a header too, and never for a cache."""
    answer = get(spoilt.shop, path, accept)
    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f'content="{answer.headers["Content-Security-Policy"]}"' in page
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert answer.headers["Cache-Control"] == "no-store"
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/html;q=0.5"])
def test_json_is_the_status(spoilt: Spoilt, accept: str) -> None:
    """The same document as `status --json`."""
    answer = get(spoilt.shop, "/", accept)
    found = answer.get_json()
    assert (answer.status_code, found["connector"], found["status"]) == (200, "shop", "partial")
    assert {table["website_id"] for table in found["tables"]} == {"1", "2"}


def test_of_several_connectors_there_is_a_list_with_links(spoilt: Spoilt) -> None:
    names = {"MATOMO_FN_CONNECTORS": "shop,blog"}
    listed = get(spoilt.shop, **names)
    assert 'href="?connector=blog"' in listed.get_data(as_text=True)
    assert listed.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert get(spoilt.shop, accept="application/json", **names).get_json() == {"connectors": ["shop", "blog"]}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/?connector=shoop", 404, "there is no connector 'shoop': did you mean 'shop'?"),
        ("/?connector=../x", 400, "'../x' is not a connector name"),
        ("/favicon.png", 404, "there is no /favicon.png here"),
    ],
)
def test_what_is_not_there_is_a_sentence(spoilt: Spoilt, path: str, status: int, said: str) -> None:
    """JSON for programs, a page for browsers."""
    answer = get(spoilt.shop, path)
    assert answer.status_code == status
    assert said in answer.get_json()["errors"][0]
    assert get(spoilt.shop, path, BROWSER).get_data(as_text=True).startswith("<!doctype html>")


def test_a_connector_that_was_never_synced_is_404(spoilt: Spoilt, tmp_path: Path) -> None:
    """Nothing is created."""
    file = tmp_path / "none.duckdb"
    answer = get(spoilt.shop, MATOMO_FN_WAREHOUSE=f"duckdb:{file}")
    assert answer.status_code == 404
    assert "has never been synced here" in answer.get_json()["errors"][0]
    assert not file.exists()


def test_a_look_starts_no_run(spoilt: Spoilt, tmp_path: Path) -> None:
    """Neither GET nor HEAD writes anything."""
    file = tmp_path / "copy.duckdb"
    shutil.copy(spoilt.shop.warehouse, file)
    before = shops.contents(file)
    with mock.patch.dict("os.environ", spoilt.shop.env | {"MATOMO_FN_WAREHOUSE": f"duckdb:{file}"}):
        assert shops.http().get("/").status_code == 200
        assert shops.http().head("/").get_data() == b""
    assert shops.contents(file) == before
