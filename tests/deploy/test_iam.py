"""Who may do what: every role in Terraform, held to the table in docs/deploy.md and to what must never be."""

from __future__ import annotations

import re

import pytest

from tests.deploy import configuration
from tests.deploy.configuration import ROOT, TERRAFORM, Block

ACCOUNTS = {"build", "collect", "push", "run"}
# Who may call, where it is for the user to say.
CALLERS = {"collect_callers", "http_callers"}
GOOGLES = {"${local.pubsub_agent}": "Pub/Sub's own", "${local.secrets_agent}": "Secret Manager's own"}
BIGQUERY = "data.google_bigquery_default_service_account"
# Which argument of a binding names what the role is given on.
TARGETS = {
    "google_artifact_registry_repository_iam_member": "repository",
    "google_bigquery_dataset_iam_member": "dataset_id",
    "google_cloud_run_v2_service_iam_binding": "name",
    "google_kms_crypto_key_iam_member": "crypto_key_id",
    "google_project_iam_member": "project",
    "google_pubsub_subscription_iam_member": "subscription",
    "google_pubsub_topic_iam_member": "topic",
    "google_secret_manager_secret_iam_member": "secret_id",
    "google_service_account_iam_member": "service_account_id",
}


def bindings() -> list[Block]:
    return [block for block in configuration.read(TERRAFORM).of("resource") if "_iam_" in block.labels[0]]


def who(binding: Block) -> str:
    """The account that a binding speaks of: one of ours by its name, one of Google's, or who calls over HTTP."""
    member = binding.attributes.get("member") or binding.attributes["members"]
    if isinstance(member, str) and member.removeprefix("${var.").removesuffix("}") in CALLERS:
        return member.removeprefix("${var.").removesuffix("}")
    (member,) = member if isinstance(member, list) else [member]
    if member in GOOGLES:
        return GOOGLES[member]
    if BIGQUERY in member:
        return "BigQuery's own"
    match = re.fullmatch(r"\$\{google_service_account\.(\w+)(?:\[0\])?\.member\}", member)
    assert match, member
    return match[1]


def documented() -> set[tuple[str, str, str]]:
    """The rows of the table of roles: account, role, Terraform's name of the binding."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    row = re.compile(
        r"^\| `?(?P<who>[^`|]+?)`? \| `(?P<role>roles/[\w.]+)` \| [^|]+ \| `(?P<address>google_\w+\.\w+)` \|$",
        re.MULTILINE,
    )
    return {(each["who"], each["role"], each["address"]) for each in row.finditer(text)}


def test_every_role_stands_in_the_document_and_every_documented_role_is_given() -> None:
    given = {(who(each), each.text("role"), each.address) for each in bindings()}
    assert documented() == given
    assert len(given) == len(bindings())


def test_the_project_gives_three_roles_that_exist_nowhere_smaller() -> None:
    """Jobs and logs belong to a project; the bucket of the sources is not there yet, so a condition names it."""
    on_the_project = [each for each in bindings() if each.labels[0].startswith("google_project_iam")]
    assert {each.labels[1]: each.text("role") for each in on_the_project} == {
        "build_logs": "roles/logging.logWriter",
        "build_source": "roles/storage.objectViewer",
        "run": "roles/bigquery.jobUser",
    }
    conditions = {
        each.labels[1]: [inner for inner in each.blocks if inner.kind == "condition"] for each in on_the_project
    }
    assert {name: len(found) for name, found in conditions.items()} == {"build_logs": 0, "build_source": 1, "run": 0}
    expression = conditions["build_source"][0].text("expression")
    assert re.findall(r'\\"(.*?)\\"', expression) == [
        "projects/_/buckets/${local.function_sources_bucket}/",
        "projects/_/buckets/${local.function_sources_bucket}",
    ]
    assert not [each for each in bindings() if re.search("organization|folder|policy", each.labels[0])]


def test_every_role_is_a_predefined_narrow_one_on_one_thing() -> None:
    for each in bindings():
        role = each.text("role")
        assert re.fullmatch(r"roles/\w+\.\w+", role), each.address
        assert role not in {"roles/editor", "roles/owner", "roles/viewer"}
        assert not re.search(r"[aA]dmin$", role), each.address
        assert TARGETS[each.labels[0]] in each.attributes, each.address


def test_nobody_calls_without_being_known_but_segment() -> None:
    """Everybody is the default of collect_callers and of nothing else; who may call a function is the whole list."""
    everybody = re.compile(r"allUsers|allAuthenticatedUsers")
    variables = configuration.read(TERRAFORM).of("variable")
    assert [each.address for each in variables if everybody.search(str(each.attributes))] == ["collect_callers"]
    for path in [*TERRAFORM.rglob("*.tf"), *TERRAFORM.rglob("*.sh"), *ROOT.glob("cloudbuild/*.yaml")]:
        if path != TERRAFORM / "variables.tf":
            assert not everybody.search(path.read_text(encoding="utf-8")), path
    invokers = [each for each in bindings() if each.text("role") == "roles/run.invoker"]
    assert {each.labels[0] for each in invokers} == {"google_cloud_run_v2_service_iam_binding"}
    assert {each.labels[1]: who(each) for each in invokers} == {
        "collect": "collect_callers",
        "sync": "http_callers",
        "sync_event": "push",
    }


def test_what_everybody_may_call_publishes_and_reads_two_secrets() -> None:
    """No token, no table, no job, no right on the project: what collect cannot read it cannot give away."""
    given = {each.address: each.text("role") for each in bindings() if who(each) == "collect"}
    assert given == {
        "google_pubsub_topic_iam_member.collect": "roles/pubsub.publisher",
        "google_secret_manager_secret_iam_member.collect": "roles/secretmanager.secretAccessor",
    }
    secrets = re.search(r"^  collect_secrets +=(.*)$", (TERRAFORM / "locals.tf").read_text(), re.MULTILINE)
    assert secrets
    assert "config" in secrets[1]
    assert "token" not in secrets[1]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.glob("*.tf"))
    assert texts.count("= google_service_account.collect[0].email") == 1, "no other function runs by it"


def test_every_account_that_is_made_is_used_and_every_used_one_is_made() -> None:
    made = [
        block for block in configuration.read(TERRAFORM).of("resource") if block.labels[0] == "google_service_account"
    ]
    assert {block.labels[1] for block in made} == ACCOUNTS
    others = {"BigQuery's own", "Pub/Sub's own", "Secret Manager's own"}
    assert {who(each) for each in bindings()} == ACCOUNTS | CALLERS | others


@pytest.mark.parametrize(("function", "account"), [("collect", "collect[0]"), ("sync", "run"), ("sync_event", "run")])
def test_functions_run_and_build_by_accounts_of_their_own(function: str, account: str) -> None:
    """Not by the default account, which may edit the whole project in many a project."""
    block = next(
        block
        for block in configuration.read(TERRAFORM).of("resource")
        if block.labels == ("google_cloudfunctions2_function", function)
    )
    inner = {each.kind: each for each in block.blocks}
    assert inner["service_config"].attributes["service_account_email"] == f"${{google_service_account.{account}.email}}"
    assert inner["build_config"].attributes["service_account"] == "${google_service_account.build.id}"
