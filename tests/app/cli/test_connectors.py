"""`connectors` lists what the secrets describe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.app.cli.calling import call

if TYPE_CHECKING:
    from tests.support.shop import Shop


def test_each_connector_has_its_matomo_and_its_dataset(shop: Shop) -> None:
    """By name; other files of the folder are none of its business."""
    config = {"matomo_url": "https://docs.example.com/index.php", "sites": "all", "dataset": "web"}
    (shop.secrets / "matomo-docs-config").write_text(json.dumps(config))
    (shop.secrets / "matomo-docs-token").write_text("x")
    for name in ("notes.txt", "matomo-config", "matomo-old-config.bak", "matomo-new-token"):
        (shop.secrets / name).write_text("mine")
    (shop.secrets / "matomo-folder-config").mkdir()
    found = call(shop.env, "connectors")
    assert (found.code, found.err) == (0, "")
    assert [line.split() for line in found.out.splitlines()] == [
        ["connector", "Matomo", "dataset"],
        ["docs", "https://docs.example.com/", "web"],
        ["shop", f"{shop.matomo.url}".rstrip("/") + "/", "matomo_shop"],
    ]
    as_json = call(shop.env, "connectors", "--json").json["connectors"]
    assert as_json[0] == {
        "connector": "docs",
        "matomo_url": "https://docs.example.com/",
        "dataset": "web",
        "errors": [],
    }


def test_a_folder_is_all_that_it_takes(shop: Shop) -> None:
    """No warehouse is opened, so none has to be named."""
    for arguments in (("connectors",), ("dbt-sources", "shop")):
        called = call({}, *arguments, "--secrets", str(shop.secrets))
        assert (called.code, called.err) == (0, "")
        assert "matomo_shop" in called.out


def test_one_that_cannot_work_does_not_hide_the_others(shop: Shop) -> None:
    """Each problem is a sentence, and the code is that of bad input."""
    (shop.secrets / "matomo-Broken-config").write_text("{}")
    (shop.secrets / "matomo-half-config").write_text('{"sites": "all"}')
    found = call(shop.env, "connectors")
    assert found.code == 2
    assert [line.split() for line in found.out.splitlines()[1:3]] == [["Broken", "-", "-"], ["half", "-", "-"]]
    assert found.errors == [
        "request: connector: 'Broken' is not a connector name: lower-case letters, digits and hyphens",
        "connector 'Broken' has no secret matomo-Broken-token",
        "configuration of connector 'half': matomo_url is missing",
        "connector 'half' has no secret matomo-half-token",
    ]
    as_json = call(shop.env, "connectors", "--json")
    assert as_json.code == 2
    assert [len(item["errors"]) for item in as_json.json["connectors"]] == [2, 2, 0]


def test_where_there_is_none_it_says_so(shop: Shop) -> None:
    """With the name that is looked for, and where."""
    for path in shop.secrets.iterdir():
        path.unlink()
    found = call(shop.env, "connectors")
    assert (found.code, found.out) == (0, f"there is no secret matomo-NAME-config in {shop.secrets}\n")
    assert call(shop.env, "connectors", "--json").json == {"connectors": []}
