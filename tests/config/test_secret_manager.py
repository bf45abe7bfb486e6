"""SecretStore from Secret Manager: the real client over HTTP, and a sentence for each way in which it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from matomo_fn.config.secret_manager import SecretManagerStore
from matomo_fn.config.secret_store import find_connectors, read_token
from matomo_fn.errors import SecretMissing, SecretsUnavailable
from tests.support import secretmanager
from tests.support.canary import CANARY, assert_absent
from tests.support.ports import LOCAL, free_ports
from tests.support.secretmanager import PROJECT, Failure, SecretManager

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "matomo-shop-token"
LATEST = f"projects/{PROJECT}/secrets/{NAME}/versions/latest"


@pytest.fixture
def manager() -> Iterator[SecretManager]:
    """A Secret Manager that knows the token in two versions."""
    with secretmanager.started() as running:
        running.versions[f"{NAME}/versions/latest"] = f"{CANARY}\n".encode()
        running.versions[f"{NAME}/versions/3"] = b"an older one"
        yield running


def secrets_of(manager: SecretManager, **versions: str) -> SecretManagerStore:
    pinned = {name.replace("_", "-"): version for name, version in versions.items()}
    return SecretManagerStore(PROJECT, pinned, client=manager.client())


def test_the_newest_version_is_read_unless_another_is_pinned(manager: SecretManager) -> None:
    """A pin is of one secret: the others go on with their newest."""
    assert read_token(secrets_of(manager), "shop").reveal() == CANARY
    assert secrets_of(manager, matomo_shop_token="3").read(NAME) == "an older one"
    assert secrets_of(manager, matomo_shop_config="3").read(NAME) == f"{CANARY}\n"
    assert [path.partition("?")[0] for path in manager.asked] == [
        f"/v1/{LATEST}:access",
        f"/v1/projects/{PROJECT}/secrets/{NAME}/versions/3:access",
        f"/v1/{LATEST}:access",
    ]


def test_a_secret_is_text_with_or_without_a_byte_order_mark(manager: SecretManager) -> None:
    """PowerShell writes one."""
    manager.versions[f"{NAME}/versions/latest"] = "\ufeffclé".encode()
    assert secrets_of(manager).read(NAME) == "clé"


DENIED = f"Permission 'secretmanager.versions.access' denied for resource '{LATEST}' (or it may not exist)."
NOT_ENABLED = (
    "Secret Manager API has not been used in project demo before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?project=demo then retry."
)
DESTROYED = f"Secret Version [{LATEST}] is in DESTROYED state."


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            Failure(404, f"Secret [{NAME}] not found or has no versions."),
            f"there is no secret {LATEST}: create it and add a version",
        ),
        (
            Failure(403, DENIED),
            f"the secret {LATEST} may not be read, or is not there: create it and give the function's service account "
            "the role roles/secretmanager.secretAccessor on it",
        ),
        (
            Failure(403, NOT_ENABLED, "SERVICE_DISABLED"),
            "the Secret Manager API is not enabled in project demo: run `gcloud services enable "
            "secretmanager.googleapis.com --project demo` and wait a few minutes",
        ),
        (
            Failure(400, DESTROYED),
            f"the secret {LATEST} is disabled or destroyed: enable it or add a version",
        ),
        (
            Failure(400, "Resource name is not valid."),
            f"{LATEST} is no secret's name: check GOOGLE_CLOUD_PROJECT and MATOMO_FN_SECRET_VERSIONS",
        ),
    ],
    ids=["not there", "not allowed", "API not enabled", "destroyed", "no name"],
)
def test_what_the_user_has_to_mend_is_a_missing_secret(manager: SecretManager, failure: Failure, sentence: str) -> None:
    """Each is said in a sentence of its own, with the secret's whole path and what to do; none is tried again."""
    manager.versions[f"{NAME}/versions/latest"] = failure
    with pytest.raises(SecretMissing) as raised:
        secrets_of(manager).read(NAME)
    assert raised.value.problems == (sentence,)
    assert len(manager.asked) == 1


def test_bytes_that_are_no_text_are_a_missing_secret(manager: SecretManager) -> None:
    """UTF-16, for one."""
    manager.versions[f"{NAME}/versions/latest"] = CANARY.encode("utf-16")
    with pytest.raises(SecretMissing) as raised:
        secrets_of(manager).read(NAME)
    assert str(raised.value) == f"the secret {LATEST} is not UTF-8 text"
    assert_absent(error=repr(raised.value))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_secret_manager_is_asked_again(manager: SecretManager, status: int) -> None:
    """Without its secrets a run can do nothing, so it waits for them a little."""
    manager.failures = [Failure(status, "Try again.")]
    assert secrets_of(manager).read(NAME) == f"{CANARY}\n"
    assert len(manager.asked) == 2


def test_another_failure_may_be_over_later(manager: SecretManager) -> None:
    """It is said by its name, without what the server wrote."""
    manager.versions[f"{NAME}/versions/latest"] = Failure(500, "Internal error.")
    with pytest.raises(SecretsUnavailable) as raised:
        secrets_of(manager).read(NAME)
    assert str(raised.value) == f"Secret Manager did not give {LATEST}: InternalServerError"


def test_a_secret_that_was_damaged_on_its_way_is_not_used(manager: SecretManager) -> None:
    """A token that is wrong in one character would be refused, and refusals block the address."""
    manager.spoil_checksum = True
    with pytest.raises(SecretsUnavailable) as raised:
        secrets_of(manager).read(NAME)
    assert str(raised.value) == f"Secret Manager did not give {LATEST} whole: its checksum does not fit"
    assert_absent(error=repr(raised.value))


def test_a_secret_manager_that_is_not_there_is_unavailable() -> None:
    """A refused connection is no missing secret."""
    (port,) = free_ports(1)
    client = secretmanager.connect(f"{LOCAL}:{port}")
    with pytest.raises(SecretsUnavailable) as raised:
        SecretManagerStore(PROJECT, {}, client=client).read(NAME)
    assert str(raised.value) == f"Secret Manager did not give {LATEST}: ConnectionError"


def test_no_error_carries_the_token(manager: SecretManager) -> None:
    """Nor its cause or context, which a traceback would show."""
    manager.versions[f"{NAME}/versions/latest"] = Failure(400, f"Secret Version [{CANARY}] is in DISABLED state.")
    with pytest.raises(SecretMissing) as raised:
        secrets_of(manager).read(NAME)
    assert raised.value.__suppress_context__
    assert_absent(error=f"{raised.value!r} {raised.value}")


# Listing


def test_connectors_are_found_on_every_page_of_the_list(manager: SecretManager) -> None:
    """By the names of their configurations; the token is only looked for, no secret is read."""
    for name in ("matomo-docs-config", "matomo-shop-config", "my-matomo-x-config", "matomo-other"):
        manager.versions[f"{name}/versions/latest"] = b"{}"
    assert find_connectors(secrets_of(manager)) == {"docs": False, "shop": True}
    assert len(manager.asked) == 3
    assert not any(":access" in path for path in manager.asked)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            Failure(403, "Permission 'secretmanager.secrets.list' denied for resource 'projects/demo'."),
            "the secrets of project demo may not be listed: this takes the role roles/secretmanager.viewer on the "
            "project. Commands that are given a connector's name do not need it",
        ),
        (
            Failure(403, NOT_ENABLED, "SERVICE_DISABLED"),
            "the Secret Manager API is not enabled in project demo: run `gcloud services enable "
            "secretmanager.googleapis.com --project demo` and wait a few minutes",
        ),
        (Failure(404, "Project not found."), "demo is no project's name: check GOOGLE_CLOUD_PROJECT"),
    ],
    ids=["not allowed", "API not enabled", "no project"],
)
def test_a_list_that_is_refused_says_what_it_takes(manager: SecretManager, failure: Failure, sentence: str) -> None:
    """Whoever may read two secrets may not yet see which others there are."""
    manager.failures.append(failure)
    with pytest.raises(SecretMissing) as raised:
        find_connectors(secrets_of(manager))
    assert raised.value.sentences == (sentence,)


def test_a_list_that_fails_for_the_moment_is_tried_again(manager: SecretManager) -> None:
    """As a secret is."""
    manager.failures.append(Failure(503, "The service is currently unavailable."))
    assert find_connectors(secrets_of(manager)) == {}
    assert len(manager.asked) == 2


def test_a_list_that_fails_for_good_may_succeed_later(manager: SecretManager) -> None:
    """It is no fault of the user's."""
    manager.failures.append(Failure(500, "Internal error."))
    with pytest.raises(SecretsUnavailable, match="Secret Manager did not list its secrets: InternalServerError"):
        find_connectors(secrets_of(manager))
