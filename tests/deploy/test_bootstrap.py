"""terraform/bootstrap.sh, run with a gcloud that writes down its calls and knows what is there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.configuration import ROOT, TERRAFORM

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = TERRAFORM / "bootstrap.sh"
# Its log has a line for each call; what it has made it finds again by `describe`.
GCLOUD = """#!/bin/sh
echo "$*" >> {folder}/calls
case "$*" in
  *" describe "*) grep -qF " create $(echo "$*" | sed 's/.* describe //; s/@.*//; s/ .*//')" {folder}/calls ;;
  *fails*) exit 1 ;;
esac
"""


class Project:
    """A project that a bootstrap is run against."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "gcloud"
        program.write_text(GCLOUD.format(folder=folder))
        program.chmod(0o755)

    def bootstrap(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the script and return what it said."""
        environment = {"PATH": path or f"{self.folder}:/usr/bin:/bin"}
        return subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        """The calls since the last time."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def roles(self, account: str) -> set[str]:
        """The roles that an account was given without a condition."""
        member = f"--member=serviceAccount:matomo-fn-{account}@my-project.iam.gserviceaccount.com"
        given = [call for call in self.calls() if member in call and "--condition=None" in call]
        return {each for call in given for each in re.findall(r"--role=(\S+)", call)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_it_makes_the_bucket_of_the_state_and_says_how_to_use_it(project: Project) -> None:
    done = project.bootstrap("my-project", "europe-west3")
    assert done.returncode == 0, done.stderr
    calls = project.calls()
    (created,) = (call for call in calls if "buckets create" in call)
    assert created.startswith("storage buckets create gs://my-project-matomo-fn-terraform --project=my-project")
    assert {"--location=europe-west3", "--uniform-bucket-level-access", "--public-access-prevention"} <= set(
        created.split()
    )
    assert "storage buckets update gs://my-project-matomo-fn-terraform --versioning" in calls
    assert calls[0].startswith("services enable cloudresourcemanager.googleapis.com")
    assert done.stdout.endswith("Next: terraform init -backend-config=bucket=my-project-matomo-fn-terraform\n")
    assert not [call for call in calls if "iam" in call.split()], "accounts are for Cloud Build"


def test_run_again_it_makes_nothing_twice(project: Project) -> None:
    project.bootstrap("--cloud-build", "my-project")
    before = len(project.calls())
    assert project.bootstrap("--cloud-build", "my-project").returncode == 0
    assert not [call for call in project.calls()[before:] if " create " in call]


def test_the_account_of_the_checks_writes_its_log_and_nothing_else(project: Project) -> None:
    project.bootstrap("--cloud-build", "my-project")
    assert project.roles("check") == {"roles/logging.logWriter"}


def test_the_account_of_the_plans_only_reads_and_no_data(project: Project) -> None:
    """No role that writes, but its log; none that reads rows, secrets, or objects beside the state and the source."""
    project.bootstrap("--cloud-build", "my-project")
    roles = project.roles("plan")
    assert "roles/logging.logWriter" in roles
    assert all(
        re.search(r"[vV]iewer$|\.reader$|[rR]eviewer$|^roles/browser$", role)
        for role in roles - {"roles/logging.logWriter"}
    ), roles
    assert not roles & {
        "roles/viewer",  # reads every dataset by the group of a project's readers
        "roles/bigquery.dataViewer",
        "roles/secretmanager.secretAccessor",
        "roles/storage.objectViewer",
    }
    (conditional,) = (call for call in project.calls() if "--condition=title" in call)
    assert "--member=serviceAccount:matomo-fn-plan@" in conditional
    assert "--role=roles/storage.objectViewer" in conditional
    assert 'resource.name.startsWith("projects/_/buckets/my-project-matomo-fn-")' in conditional


def test_every_service_of_the_deployment_can_be_read_by_a_plan_and_changed_by_an_apply(project: Project) -> None:
    project.bootstrap("--cloud-build", "my-project")
    services = {
        "google_artifact_registry": "artifactregistry",
        "google_bigquery": "bigquery",
        "google_cloud_run": "run",
        "google_cloud_scheduler": "cloudscheduler",
        "google_cloudfunctions2": "cloudfunctions",
        "google_compute": "compute",
        "google_kms": "cloudkms",
        "google_logging": "logging",
        "google_monitoring": "monitoring",
        "google_project_iam": "iam",
        "google_project_service": "serviceusage",
        "google_pubsub": "pubsub",
        "google_secret_manager": "secretmanager",
        "google_service_account": "iam",
        "google_storage": "storage",
    }
    text = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.glob("*.tf"))
    for kind in set(re.findall(r'^resource "(google_\w+)"', text, re.MULTILINE)):
        service = next(name for prefix, name in services.items() if kind.startswith(prefix))
        for account in ("plan", "deploy"):
            given = {role.removeprefix("roles/").partition(".")[0] for role in project.roles(account)}
            assert service in given, (account, kind)


def test_the_document_names_the_roles_of_the_apply(project: Project) -> None:
    """For a person with less than Owner they are the same."""
    project.bootstrap("--cloud-build", "my-project")
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    listed = re.search(r"\(Less than Owner:(.*?)\)", text, re.DOTALL)
    assert listed
    assert set(re.findall(r"`(roles/[\w.]+)`", listed[1])) == project.roles("deploy") - {"roles/logging.logWriter"}


@pytest.mark.parametrize(
    "arguments", [(), ("--cloud-build",), ("-h",), ("a", "b", "c"), ("--cloud-bild", "my-project")]
)
def test_a_wrong_call_is_told_how_to_call(project: Project, arguments: tuple[str, ...]) -> None:
    done = project.bootstrap(*arguments)
    assert done.returncode == 2
    assert done.stderr == "usage: terraform/bootstrap.sh [--cloud-build] PROJECT [REGION]\n"
    assert project.calls() == []


def test_without_gcloud_it_says_where_to_get_it(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = project.bootstrap("my-project", path=f"{tmp_path / 'empty'}")
    assert done.returncode == 1
    assert "gcloud is not there: https://cloud.google.com/sdk" in done.stderr


def test_a_call_that_fails_ends_it(project: Project) -> None:
    done = project.bootstrap("project-fails")
    assert done.returncode == 1
    assert len(project.calls()) == 1
