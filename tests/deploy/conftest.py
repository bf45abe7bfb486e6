"""Programs that the tests of the deployment run."""

from __future__ import annotations

import pytest

from tools.go_programs import TERRAFORM


@pytest.fixture(scope="session")
def terraform() -> str:
    """Terraform: commands are printed by it, so what a person pastes is what is tested. No provider, no network."""
    program = TERRAFORM.path()
    if not program.exists():
        pytest.fail("Terraform is neither in PATH nor built; run: make programs", pytrace=False)
    return str(program)
