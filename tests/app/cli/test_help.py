"""The help is good enough to need no manual."""

from __future__ import annotations

import click
import pytest

import matomo_fn
from matomo_fn.app.cli.group import COMMANDS, find_command
from matomo_fn.catalogue import PREBUILT
from matomo_fn.config.settings import VARIABLES
from tests.app.cli.calling import call

WITH_SETTINGS = ["check", "plan", "status", "sync"]


def help_of(*arguments: str) -> str:
    called = call({}, *arguments)
    assert (called.code, called.err) == (0, "")
    return " ".join(called.out.split())


def test_the_help_has_every_command_an_example_and_the_exit_codes() -> None:
    """Whoever calls it for the first time can begin."""
    found = help_of("--help")
    for command in COMMANDS:
        assert f" {command} " in found
    assert "..." not in found.partition("Commands:")[2]  # no sentence is cut off
    assert "matomo-fn check shop" in found
    assert (
        "Exit codes: 0 all is done, 1 something failed or is missing, 2 the input or the token has to be fixed."
        in found
    )


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_list_has_the_first_sentence_of_a_command(name: str) -> None:
    """It is written twice, so that the list needs no command."""
    assert COMMANDS[name].help == find_command(name).get_short_help_str(limit=100)


def test_short_and_long_option_give_the_same_help() -> None:
    """`-h` is what many try first."""
    assert help_of("-h") == help_of("--help")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_of_a_command_is_explained(name: str) -> None:
    """With what it does and how its value looks."""
    found = help_of(name, "--help")
    for parameter in find_command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[0] in found


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_setting_is_an_option_that_names_its_variable(name: str) -> None:
    """What is set by the environment can be set for one call; the names behind "all" are the arguments of `sync`."""
    found = help_of(name, "--help")
    for field, variable in VARIABLES.items():
        if field in ("connectors", "pubsub_emulator"):
            assert f"--{field.replace('_', '-')}" not in found
            continue
        assert f"--{field.replace('_', '-')} VALUE" in found
        assert f"[{variable}]" in found


@pytest.mark.parametrize("name", ["plan", "sync"])
def test_every_table_is_named(name: str) -> None:
    """So that nobody has to look them up."""
    found = help_of(name, "--help")
    assert all(table in found for table in PREBUILT)


def test_the_version_is_that_of_the_package() -> None:
    """For reports of errors."""
    assert help_of("--version") == f"matomo-fn, version {matomo_fn.__version__}"
