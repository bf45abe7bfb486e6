"""Programs that the tests of the deployment run."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def terraform() -> str:
    """Terraform: commands are printed by it, so what a person pastes is what is tested. No provider, no network."""
    program = shutil.which("terraform")
    if program is None:
        pytest.fail("the program terraform is not in PATH: https://developer.hashicorp.com/terraform/install")
    return program
