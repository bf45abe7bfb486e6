"""The first apply in a fresh project: what waits for what, by the references and depends_on of Terraform's files."""

from __future__ import annotations

import json
import re

import pytest

from tests.deploy import configuration
from tests.deploy.configuration import TERRAFORM, Block, Configuration

# Asked before an API is enabled, or enabling it; and what needs no API.
BEFORE = {"google_project_service.required", "data.google_project.this", "data.archive_file.source"}
APIS = "time_sleep.services"
RIGHTS = "time_sleep.iam"


def text_of(block: Block) -> str:
    return json.dumps([list(block.attributes.values()), [text_of(inner) for inner in block.blocks]])


class Order:
    """What each resource waits for, directly or by what it refers to; locals and modules are looked through."""

    def __init__(self, terraform: Configuration) -> None:
        self._texts = {
            ("data." if block.kind == "data" else "") + block.address: text_of(block)
            for block in (*terraform.of("resource"), *terraform.of("data"))
        }
        self.resources = set(self._texts)
        for block in terraform.of("locals"):
            self._texts |= {f"local.{name}": json.dumps(value) for name, value in block.attributes.items()}

    def named(self, name: str) -> set[str]:
        """What it refers to itself."""
        text = self._texts[name]
        resources = {f"{each.kind}.{each.name}" for each in configuration.resources_named(text)}
        return resources | {f"local.{each}" for each in configuration.names_used(text, "local")}

    def before(self, name: str) -> set[str]:
        """Everything that is done before it is begun."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            more = self.named(waiting.pop()) - found
            waiting += more
            found |= more
        return found


@pytest.fixture(scope="module")
def order() -> Order:
    return Order(configuration.read(TERRAFORM))


def test_nothing_is_asked_of_an_api_before_it_had_time_to_come_up(order: Order) -> None:
    early = {name for name in order.resources - BEFORE - {APIS} if APIS not in order.before(name)}
    assert early == set()
    assert "google_project_service.required" in order.before(APIS)


def test_functions_are_built_and_run_by_accounts_whose_rights_have_had_time_to_spread(order: Order) -> None:
    """Every right of the accounts that build and run, so that neither the build nor the first run is refused."""
    rights = {
        name
        for name in order.resources
        if re.match(r"google_\w+_iam_member\.", name)
        and order.named(name) & {f"google_service_account.{account}" for account in ("build", "collect", "run")}
    }
    assert len(rights) == 10
    assert rights <= order.before(RIGHTS)
    for function in ("collect", "sync", "sync_event"):
        assert RIGHTS in order.before(f"google_cloudfunctions2_function.{function}")


def test_no_bucket_of_googles_own_is_made() -> None:
    """Cloud Functions makes its own; one that was made by hand has other settings, and hinders a second deployment."""
    buckets = [
        block.text("name")
        for block in configuration.read(TERRAFORM).of("resource")
        if block.labels[0] == "google_storage_bucket"
    ]
    assert buckets == ["${var.project}-${var.name}-source"]


@pytest.mark.parametrize(
    ("right", "wrong", "early"),
    [
        ("depends_on = [time_sleep.services]", "", "google_pubsub_topic.requests"),
        ("  depends_on = [time_sleep.iam]", "", None),
    ],
)
def test_a_wait_that_is_left_out_is_found(right: str, wrong: str, early: str | None) -> None:
    """The counter-check."""
    texts = [path.read_text(encoding="utf-8").replace(right, wrong) for path in sorted(TERRAFORM.glob("*.tf"))]
    order = Order(configuration.read_texts(texts))
    if early:
        assert APIS not in order.before(early)
    else:
        assert RIGHTS not in order.before("google_cloudfunctions2_function.sync_event")


def test_a_message_finds_its_subscription(order: Order) -> None:
    """One that is published before would be lost."""
    assert "google_pubsub_subscription.requests" in order.before("google_cloud_scheduler_job.sync")
    assert "google_cloud_run_v2_service_iam_binding.sync_event" in order.before("google_pubsub_subscription.requests")


def test_a_delivery_finds_what_it_pulls_from_and_a_key_its_user(order: Order) -> None:
    """The first minute's request comes once the subscription and the right to pull are there.

    Pub/Sub's own account, which is given the right to a key, is there once Pub/Sub was asked for a topic.
    """
    delivery = order.before("google_cloud_scheduler_job.deliver")
    assert {
        "google_pubsub_subscription.events",
        "google_pubsub_subscription.requests",
        "google_pubsub_subscription_iam_member.deliver",
    } <= delivery
    for topic in ("events", "events_dead_letters"):
        assert "google_kms_crypto_key_iam_member.events" in order.before(f"google_pubsub_topic.{topic}")
    assert "google_pubsub_topic.requests" in order.before("google_kms_crypto_key_iam_member.events")
