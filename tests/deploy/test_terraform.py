"""Terraform's files, held to the provider's schema and to themselves; `make terraform` asks Terraform itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from matomo_fn.config.connector import read_connector
from tests.deploy import configuration, schema
from tests.deploy.configuration import COMMANDS, EXAMPLES, ROOT, TERRAFORM, Block, Configuration
from tools import bundle

if TYPE_CHECKING:
    from pathlib import Path

META = {"count", "for_each", "depends_on", "provider"}
META_BLOCKS = {"lifecycle"}


@pytest.fixture(scope="module")
def providers() -> schema.Schema:
    return schema.recorded()


def kind_of(block: Block) -> str:
    """The name that the schema has for a resource or data source."""
    return ("data." if block.kind == "data" else "") + block.labels[0]


def problems_of(terraform: Configuration, providers: schema.Schema) -> list[str]:
    """Every argument, block and attribute that the providers do not know, and each that they miss."""
    found = []
    for block in _things(terraform):
        if kind_of(block) not in providers.types:
            found.append(f"{block.address}: no such type")
        else:
            found += _arguments(block.address, block, providers.types[kind_of(block)])
    return found


def _arguments(where: str, block: Block, known: schema.Block) -> list[str]:
    given = set(block.attributes) - META
    found = [f"{where}: {name} is a block" for name in sorted(given & known.blocks.keys())]
    found += [f"{where}: no argument {name}" for name in sorted(given - known.settable - known.blocks.keys())]
    for inner in block.blocks:
        if inner.kind in META_BLOCKS:
            continue
        if inner.kind not in known.blocks:
            found.append(f"{where}: no block {inner.kind}")
        else:
            found += _arguments(f"{where}.{inner.kind}", inner, known.blocks[inner.kind])
    there = given | {inner.kind for inner in block.blocks}
    return found + [f"{where}: {name} is missing" for name in sorted(known.required - there)]


def unresolved(terraform: Configuration, providers: schema.Schema) -> list[str]:
    """Every reference to what is not there, and every variable and local that nobody uses."""
    declared = {
        "var": {block.address for block in terraform.of("variable")},
        "local": {name for block in terraform.of("locals") for name in block.attributes},
        "module": {block.address for block in terraform.of("module")},
    }
    found = []
    for kind, names in declared.items():
        used = configuration.names_used(terraform.text, kind)
        found += [f"{kind}.{name} is not declared" for name in sorted(used - names)]
        found += [f"{kind}.{name} is not used" for name in sorted(names - used)]
    there = {("data." if block.kind == "data" else "") + block.address for block in _things(terraform)}
    for each in configuration.resources_named(terraform.text):
        if f"{each.kind}.{each.name}" not in there:
            found.append(f"{each.kind}.{each.name} is not declared")
        elif each.attribute and each.attribute not in providers.types[each.kind].attributes:
            found.append(f"{each.kind}.{each.name} has no {each.attribute}")
    return found


def _things(terraform: Configuration) -> list[Block]:
    return [*terraform.of("resource"), *terraform.of("data")]


def test_every_type_argument_and_block_is_known_to_the_provider(providers: schema.Schema) -> None:
    assert problems_of(configuration.read(TERRAFORM), providers) == []
    assert {kind_of(block) for block in _things(configuration.read(TERRAFORM))} == providers.types.keys()


def test_every_reference_leads_somewhere_and_nothing_is_left_over(providers: schema.Schema) -> None:
    assert unresolved(configuration.read(TERRAFORM), providers) == []


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        (
            "timeout_seconds  ",
            "timeout_second  ",
            "google_cloudfunctions2_function.sync_event.service_config: no argument timeout_second",
        ),
        ("retry_config {", "retry_configs {", "google_cloud_scheduler_job.sync: no block retry_configs"),
        (
            '"google_pubsub_topic" "requests"',
            '"google_pubsub_topics" "requests"',
            "google_pubsub_topics.requests: no such type",
        ),
        (
            "dead_letter_policy {",
            "dead_letter_policies {",
            "google_pubsub_subscription.requests: no block dead_letter_policies",
        ),
        (
            "  topic                = google_pubsub_topic.requests.id",
            "",
            "google_pubsub_subscription.requests: topic is missing",
        ),
        ("output_file_mode =", "output_mode =", "archive_file.source: no argument output_mode"),
        ("content  = file", "contents = file", "archive_file.source.source: no argument contents"),
        (
            "labels       = { email",
            "sensitive_labels = { email",
            "google_monitoring_notification_channel.email: sensitive_labels is a block",
        ),
    ],
)
def test_a_misspelt_argument_block_or_type_is_found(
    right: str, wrong: str, problem: str, providers: schema.Schema
) -> None:
    texts = changed(right, wrong)
    assert problem in problems_of(configuration.read_texts(texts), providers)


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("var.max_instances\n", "var.max_instance\n", "var.max_instance is not declared"),
        ("local.sync_budget)", "local.sync_bugdet)", "local.sync_bugdet is not declared"),
        ("local.sync_budget)", "1)", "local.sync_budget is not used"),
        (
            "google_service_account.push.email\n",
            "google_service_account.pusher.email\n",
            "google_service_account.pusher is not declared",
        ),
        (
            "google_service_account.push.email\n",
            "google_service_account.push.mail\n",
            "google_service_account.push has no mail",
        ),
        ("data.google_project.this.number", "data.google_project.this.no", "data.google_project.this has no no"),
        ("archive_file.source.output_sha256", "archive_file.source.sha256", "data.archive_file.source has no sha256"),
    ],
)
def test_an_unknown_name_is_found(right: str, wrong: str, problem: str, providers: schema.Schema) -> None:
    assert problem in unresolved(configuration.read_texts(changed(right, wrong)), providers)


def changed(right: str, wrong: str) -> list[str]:
    """The files' texts with one thing replaced everywhere."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(TERRAFORM.glob("*.tf"))]
    assert any(right in text for text in texts), right
    return [text.replace(right, wrong) for text in texts]


def test_variables_are_documented_typed_and_in_order() -> None:
    """Each says what it is and of which type, refuses null or allows it on purpose, and validates where it can."""
    variables = configuration.read(TERRAFORM).of("variable")
    names = [block.address for block in variables]
    assert names == sorted(names)
    for block in variables:
        assert len(block.text("description")) > 20, block.address
        assert "type" in block.attributes, block.address
        assert block.attributes["type"] == "bool" or any(inner.kind == "validation" for inner in block.blocks), (
            f"{block.address} takes anything of its type"
        )
    outputs = configuration.read(TERRAFORM).of("output")
    assert [block.address for block in outputs] == sorted(block.address for block in outputs)
    assert all(len(block.text("description")) > 20 for block in outputs)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_examples_use_what_the_module_takes_and_print_what_it_gives(folder: Path, providers: schema.Schema) -> None:
    example = configuration.read(folder)
    assert unresolved(example, providers) == []
    module = configuration.read(TERRAFORM)
    (call,) = example.of("module")
    assert set(call.attributes) - {"source"} <= {block.address for block in module.of("variable")}
    assert {"alert_emails", "project", "connectors"} <= set(call.attributes)
    given = {block.address: block for block in module.of("output")}
    for output in example.of("output"):
        assert output.attributes["value"] == f"${{module.matomo_fn.{output.address}}}"
        assert output.text("description") == given[output.address].text("description")
    texts = {block.address for block in configuration.read(COMMANDS).of("output")}
    assert texts <= {block.address for block in example.of("output")}, "each text to paste is an output of its own"


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_examples_keep_their_state_in_a_bucket_and_ask_who_is_told(folder: Path) -> None:
    """Nothing is copied before it is applied, so what differs from one user to another is a variable."""
    example = configuration.read(folder)
    (settings,) = example.of("terraform")
    (backend,) = settings.attributes["backend"]
    assert backend['"gcs"']["prefix"] == '"matomo-fn"'
    required = {block.address for block in example.of("variable") if "default" not in block.attributes}
    assert {"alert_emails", "project"} <= required <= {"alert_emails", "matomo_url", "project"}


def test_no_state_is_ever_committed(tmp_path: Path) -> None:
    """Git itself is asked, in whichever folder somebody applies; lock files and values are kept."""
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    ignored = [
        f"{folder}/{name}"
        for folder in ("deployment", "terraform/examples/minimal", "terraform")
        for name in ("terraform.tfstate", "terraform.tfstate.backup", ".terraform/terraform.tfstate", "x.tfplan")
    ]
    kept = ["deployment/main.tf", "terraform/examples/minimal/.terraform.lock.hcl", "deployment/terraform.tfvars"]
    answer = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", *ignored, *kept],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines() == ignored


def test_terraforms_own_tests_speak_of_what_is_there(providers: schema.Schema) -> None:
    terraform = configuration.read(TERRAFORM)
    there = {("data." if block.kind == "data" else "") + block.address for block in _things(terraform)}
    outputs = {block.address for block in terraform.of("output")}
    variables = {block.address for block in terraform.of("variable")}
    refused = set()
    for path in sorted(TERRAFORM.glob("tests/*.tftest.hcl")):
        text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for each in configuration.resources_named(text):
            assert f"{each.kind}.{each.name}" in there, (path.name, each)
            known = providers.types[each.kind].attributes
            assert each.attribute is None or each.attribute in known, (path.name, each)
        assert configuration.names_used(text, "output") <= outputs, path.name
        refused |= set(re.findall(r"expect_failures = \[var\.(\w+)\]", text))
    validated = {
        block.address for block in terraform.of("variable") if any(each.kind == "validation" for each in block.blocks)
    }
    assert refused <= variables
    assert refused == validated, "each variable that refuses something is seen to do so"


def test_providers_are_three_and_the_recorded_schema_is_of_versions_that_are_asked_for() -> None:
    text = (TERRAFORM / "versions.tf").read_text(encoding="utf-8")
    asked = dict(re.findall(r'source  = "hashicorp/(\w+)"\s+version = "~> (\d+\.\d+)"', text))
    assert asked.keys() == {"archive", "google", "time"} == schema.recorded().versions.keys()
    for name, version in schema.recorded().versions.items():
        major, minor = (int(part) for part in asked[name].split("."))
        given = [int(part) for part in version.split(".")]
        assert given[0] == major, name
        assert given[1] >= minor, name
    kinds = {block.labels[0].split("_")[0] for block in _things(configuration.read(TERRAFORM))}
    assert kinds == asked.keys()


def test_files_are_formatted_and_terraform_packs_what_the_bundle_packs(tmp_path: Path, terraform: str) -> None:
    """`fmt`, and the list of files as Terraform's own functions make it."""
    checked = subprocess.run(
        [terraform, "fmt", "-check", "-recursive", "-diff", TERRAFORM], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    source = (TERRAFORM / "source.tf").read_text(encoding="utf-8")
    locals_only = re.match(r"locals \{\n.*?^\}\n", source, re.DOTALL | re.MULTILINE)
    assert locals_only, "source.tf begins with the list of files"
    (tmp_path / "source.tf").write_text(
        locals_only[0].replace('"${path.module}/.."', json.dumps(str(ROOT))).replace("${path.module}", str(TERRAFORM))
    )
    evaluated = subprocess.run(
        [terraform, f"-chdir={tmp_path}", "console"],
        input="jsonencode(local.files)",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(json.loads(evaluated.stdout)) == bundle.files()


def test_no_secret_has_a_value_in_terraform() -> None:
    """The token stands in no state and no plan: no resource that holds a value, no variable that takes one."""
    terraform = configuration.read(TERRAFORM)
    kinds = {block.labels[0] for block in _things(terraform)}
    assert not {kind for kind in kinds if "secret_version" in kind or "secret_data" in kind}
    assert not {block.address for block in terraform.of("variable") if re.search("token|password", block.address)}


def test_the_default_dataset_and_the_config_command_are_the_programs_own() -> None:
    """What Terraform makes is what the program looks for: the dataset's default name, and the JSON that is printed."""
    locals_text = (TERRAFORM / "locals.tf").read_text(encoding="utf-8")
    assert '"matomo_${replace(name, "-", "_")}"' in locals_text
    connector = read_connector("two-sites", '{"matomo_url": "https://matomo.example.com", "sites": "all"}')
    assert connector.dataset_name == "matomo_two_sites"
    outputs = (COMMANDS / "main.tf").read_text(encoding="utf-8")
    keys = re.search(r"set_config.*?jsonencode\(\{ for key, value in \{(.*?)\} :", outputs, re.DOTALL)
    assert keys
    assert set(re.findall(r"(\w+) += ", keys[1])) == {
        "dataset",
        "events",
        "intraday",
        "kms_key",
        "location",
        "matomo_url",
        "site",
        "sites",
    }
    default = re.search(
        r'variable "dataset_location".*?default\s+= "(\w+)"', (TERRAFORM / "variables.tf").read_text(), re.DOTALL
    )
    assert default
    assert default[1] == connector.location


def test_the_examples_print_the_same() -> None:
    """Each has a file of its own: its folder can be copied, and Terraform passes a module's outputs on one by one."""
    outputs = {(folder / "outputs.tf").read_text(encoding="utf-8") for folder in configuration.EXAMPLES}
    assert len(outputs) == 1
    printed = {block.labels[0] for block in configuration.read(TERRAFORM / "modules/commands").of("output")}
    assert printed <= {block.labels[0] for block in configuration.read(configuration.EXAMPLES[0]).of("output")}
