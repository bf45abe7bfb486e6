"""What Terraform works out of its variables: locals.tf and variables.tf alone, asked by `terraform console`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.configuration import TERRAFORM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def worked_out(terraform: str, tmp_path: Path) -> Callable[..., Any]:
    """The value of an expression, with some connectors."""
    for name in ("locals.tf", "variables.tf"):
        shutil.copy(TERRAFORM / name, tmp_path)

    def evaluate(expression: str, connectors: dict[str, Any], **variables: Any) -> Any:
        values = {"alert_emails": ["data@example.com"], "project": "test-project", "connectors": connectors} | variables
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps(values))
        answer = subprocess.run(
            [terraform, f"-chdir={tmp_path}", "console"],
            input=f"jsonencode({expression})",
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return json.loads(json.loads(answer.stdout))

    return evaluate


def test_names_of_jobs_do_not_collide(worked_out: Callable[..., Any]) -> None:
    """No part of a job's name has an underscore, and neither has var.name: not across deployments either."""
    connectors: dict[str, Any] = {
        "shop": {"schedules": {"eu-daily": {}}},
        "shop-eu": {"schedules": {"daily": {}}},
        "eu": {"schedules": {"daily": {}}},
    }
    jobs = worked_out("[for schedule in local.schedules : schedule.job]", connectors)
    other = worked_out("[for schedule in local.schedules : schedule.job]", connectors, name="matomo-fn-shop")
    assert len({*jobs, *other}) == 6
    assert {"matomo-fn_shop_eu-daily", "matomo-fn_shop-eu_daily", "matomo-fn-shop_eu_daily"} < {*jobs, *other}


def test_connectors_are_spread_over_the_hour_and_none_moves(worked_out: Callable[..., Any]) -> None:
    """By default past four; a connector that is added moves no other one."""
    expression = "{ for schedule in local.schedules : schedule.connector => schedule.cron }"
    sixty: dict[str, Any] = {f"client-{number}": {} for number in range(60)}
    crons = worked_out(expression, sixty)
    minutes = [int(cron.removesuffix(" 4 * * *")) for cron in crons.values()]
    assert len(set(minutes)) >= 30
    assert max(minutes.count(minute) for minute in minutes) <= 5
    assert all(0 <= minute <= 59 for minute in minutes)
    assert worked_out(expression, sixty | {"aaa": {}}).items() >= crons.items()


def test_a_job_runs_as_its_own_schedule_says(worked_out: Callable[..., Any]) -> None:
    """Of two schedules of one connector each has its time zone; and whatever a schedule says, its job does."""
    evening = {"cron": "15 18 * * *", "time_zone": "America/New_York", "paused": True}
    connectors = {"shop": {"schedules": {"daily": {}, "evening": evening}}}
    schedules = worked_out("local.schedules", connectors, time_zone="Europe/Berlin")
    assert {key: (each["time_zone"], each["paused"]) for key, each in schedules.items()} == {
        "shop/daily": ("Europe/Berlin", False),
        "shop/evening": ("America/New_York", True),
    }
    used = re.findall(r"each\.value\.(\w+)", (TERRAFORM / "scheduler.tf").read_text())
    assert set(used) == set(schedules["shop/daily"])


@pytest.mark.parametrize(
    ("connector", "hours"),
    [
        ({}, 30),
        ({"schedules": {"hourly": {"cron": "5 * * * *"}}}, 30),
        ({"schedules": {"sunday": {"cron": "0 1 * * SUN"}}}, 7 * 24 + 6),
        ({"schedules": {"workdays": {"cron": "0 5 * * MON-FRI"}}}, 7 * 24 + 6),
        ({"schedules": {"first": {"cron": "0 1 1 * *"}}}, 31 * 24 + 6),
        ({"schedules": {"first": {"cron": "0 1 1 * *"}, "daily": {}}}, 30),
        ({"schedules": {"daily": {"paused": True}, "sunday": {"cron": "0 1 * * 0"}}}, 7 * 24 + 6),
        ({"schedules": {"daily": {"paused": True}}}, 0),
        ({"schedules": {}}, 0),
        ({"schedules": {"part": {"sites": ["1"]}}}, 0),
        ({"schedules": {"part": {"tables": ["visits_summary"]}, "sunday": {"cron": "0 1 * * 0"}}}, 7 * 24 + 6),
        ({"late_after_hours": 14}, 14),
        ({"late_after_hours": 0}, 0),
    ],
)
def test_late_is_what_the_schedule_promises(
    worked_out: Callable[..., Any], connector: dict[str, Any], hours: int
) -> None:
    """A day, a week or a month and six hours, or what was asked for; what is never due is never late."""
    assert worked_out("local.connectors.shop.late_after_hours", {"shop": connector}) == hours
