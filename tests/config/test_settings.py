"""The settings of the process: each variable's default, another value, and one that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from matomo_fn.config.settings import VARIABLES, Settings, read_settings, settings_from_environment
from matomo_fn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = {"GOOGLE_CLOUD_PROJECT": "p"}

# Field, default, a value as the environment has it, what that means, a value that cannot be, the sentence about it.
EACH = [
    (
        "secrets",
        "secret-manager",
        "/",
        "/",
        "/no/such/folder",
        "MATOMO_FN_SECRETS: '/no/such/folder' is neither secret-manager nor a folder that exists",
    ),
    (
        "secret_versions",
        {},
        "matomo-shop-token=3, matomo-shop-eu-config=12,matomo-shop-signature=2,",
        {"matomo-shop-token": "3", "matomo-shop-eu-config": "12", "matomo-shop-signature": "2"},
        "matomo-shop-token=0",
        "MATOMO_FN_SECRET_VERSIONS: 'matomo-shop-token=0' does not read like matomo-shop-token=3",
    ),
    (
        "connectors",
        (),
        "shop, blog,shop",
        ("shop", "blog"),
        "shop;blog",
        "MATOMO_FN_CONNECTORS: 'shop;blog' is not a connector name: lower-case letters, digits and hyphens",
    ),
    (
        "warehouse",
        "bigquery",
        "duckdb:some/file.duckdb",
        "duckdb:some/file.duckdb",
        "sqlite:x",
        "MATOMO_FN_WAREHOUSE: 'sqlite:x' is neither bigquery nor duckdb:PATH",
    ),
    (
        "time_budget",
        0,
        "3300",
        3300,
        "1.5",
        'MATOMO_FN_TIME_BUDGET has to be a whole number, not "1.5"',
    ),
    (
        "requests_topic",
        "",
        "matomo-fn-requests",
        "matomo-fn-requests",
        "projects/p/topics/t",
        "MATOMO_FN_REQUESTS_TOPIC: 'projects/p/topics/t' is not the name of a topic such as matomo-fn-requests",
    ),
    (
        "seconds_per_call",
        1.0,
        "0.25",
        0.25,
        "fast",
        'MATOMO_FN_SECONDS_PER_CALL: should be a valid number, not "fast"',
    ),
    (
        "buffer_megabytes",
        128,
        "16",
        16,
        "0",
        "MATOMO_FN_BUFFER_MEGABYTES has to be 1 or more, not 0",
    ),
    (
        "allow_private_addresses",
        True,
        "false",
        False,
        "no",
        'MATOMO_FN_ALLOW_PRIVATE_ADDRESSES has to be true or false, not "no"',
    ),
    (
        "log_format",
        "auto",
        "text",
        "text",
        "JSON",
        "MATOMO_FN_LOG_FORMAT has to be 'auto', 'json' or 'text', not \"JSON\"",
    ),
    ("emulator", "", "127.0.0.1:9050", "http://127.0.0.1:9050", "http://", None),
    (
        "pubsub_emulator",
        "",
        "[::1]:8085",
        "[::1]:8085",
        "http://127.0.0.1:8085",
        "PUBSUB_EMULATOR_HOST: 'http://127.0.0.1:8085' is not an address such as 127.0.0.1:8085",
    ),
]


def values_of(settings: Settings, field: str) -> object:
    return getattr(settings, field)


@pytest.mark.parametrize(("field", "default", "written", "meant", "wrong", "sentence"), EACH)
def test_each_variable_has_a_default_another_value_and_a_sentence(
    field: str, default: object, written: str, meant: object, wrong: str, sentence: str | None
) -> None:
    """An empty variable is how deployment tools write "not set"."""
    variable = VARIABLES[field]
    assert values_of(read_settings(PROJECT), field) == default
    assert values_of(read_settings(PROJECT | {variable: ""}), field) == default
    assert values_of(read_settings(PROJECT | {variable: written}), field) == meant
    with pytest.raises(InputError) as raised:
        read_settings(PROJECT | {variable: wrong})
    expected = sentence or "BIGQUERY_EMULATOR_HOST: 'http://' is not an address such as 127.0.0.1:9050"
    assert raised.value.problems == (f"environment: {expected}",)


def test_the_cases_above_name_every_variable() -> None:
    """A new setting fails this test until it has a case; the project has its own below."""
    assert {field for field, *_ in EACH} | {"project"} == VARIABLES.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("environment", "is_enough"),
    [
        ({}, False),
        ({"MATOMO_FN_SECRETS": "/"}, False),
        ({"MATOMO_FN_WAREHOUSE": "duckdb:x"}, False),
        ({"MATOMO_FN_SECRETS": "/", "MATOMO_FN_WAREHOUSE": "duckdb:x"}, True),
        (PROJECT, True),
    ],
)
def test_the_project_is_needed_where_google_is(environment: Mapping[str, str], *, is_enough: bool) -> None:
    """For the secrets or for the dataset; a local run needs none."""
    if is_enough:
        assert read_settings(environment).project == environment.get("GOOGLE_CLOUD_PROJECT", "")
    else:
        with pytest.raises(InputError, match="environment: GOOGLE_CLOUD_PROJECT is not set"):
            read_settings(environment)


@pytest.mark.parametrize(
    ("variable", "value", "bound"),
    [
        ("MATOMO_FN_TIME_BUDGET", "86401", "86400 or less"),
        ("MATOMO_FN_BUFFER_MEGABYTES", "100001", "100000 or less"),
    ],
)
def test_numbers_have_an_upper_bound(variable: str, value: str, bound: str) -> None:
    """A number with a zero too many is a mistake."""
    with pytest.raises(InputError) as raised:
        read_settings(PROJECT | {variable: value})
    assert raised.value.problems == (f"environment: {variable} has to be {bound}, not {value}",)


@pytest.mark.parametrize("value", ["-1", "+5", " 5", "٣", "5s", "1e3"])
def test_a_number_is_digits(value: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InputError, match="MATOMO_FN_TIME_BUDGET has to be a whole number"):
        read_settings(PROJECT | {"MATOMO_FN_TIME_BUDGET": value})


def test_every_unknown_variable_and_every_problem_is_reported() -> None:
    """A misspelt setting would otherwise be ignored in silence; variables of other programs are none of ours."""
    with pytest.raises(InputError) as raised:
        read_settings(
            {"MATOMO_FN_WAREHOUES": "x", "MATOMO_FN_X": "", "MATOMO": "x", "MATOMO_FN_LOG_FORMAT": "y"} | PROJECT
        )
    assert raised.value.problems == (
        "environment: unknown variable MATOMO_FN_WAREHOUES: did you mean 'MATOMO_FN_WAREHOUSE'?",
        "environment: unknown variable MATOMO_FN_X: did you mean 'MATOMO_FN_SECRETS'?",
        "environment: MATOMO_FN_LOG_FORMAT has to be 'auto', 'json' or 'text', not \"y\"",
    )


def test_an_override_wins_over_the_environment() -> None:
    """The command line's options come by the field's name."""
    environment = PROJECT | {"MATOMO_FN_TIME_BUDGET": "60"}
    assert read_settings(environment, {"time_budget": "90"}).time_budget == 90
    assert read_settings(environment, {}).time_budget == 60


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("localhost:9050", "http://localhost:9050"),
        ("http://emulator:9050", "http://emulator:9050"),
        ("https://proxy/path", "https://proxy/path"),
    ],
)
def test_the_emulators_address_needs_no_scheme(written: str, address: str) -> None:
    """Google's own emulators are configured by host and port."""
    assert read_settings(PROJECT | {"BIGQUERY_EMULATOR_HOST": written}).emulator == address


@pytest.mark.parametrize(
    ("warehouse", "path"), [("bigquery", None), ("duckdb:a b.duckdb", Path("a b.duckdb")), ("duckdb:/x", Path("/x"))]
)
def test_the_duckdb_file_is_what_follows_the_colon(warehouse: str, path: Path | None) -> None:
    """None where the warehouse is BigQuery."""
    assert read_settings(PROJECT | {"MATOMO_FN_WAREHOUSE": warehouse}).duckdb_path == path


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anew each time: nothing is remembered from one request to the next."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "one")
    assert settings_from_environment().project == "one"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "two")
    assert settings_from_environment().project == "two"
    assert settings_from_environment({"project": "three"}).project == "three"


@pytest.mark.parametrize("name", ["MATOMO_FN_SECRETS", "MATOMO_FN_WAREHOUSE"])
def test_a_path_that_is_too_long_is_a_problem_of_its_variable(name: str) -> None:
    """It ended by a traceback."""
    value = "9" * 400
    with pytest.raises(InputError, match=r"'9{80}': File name too long"):
        read_settings({"GOOGLE_CLOUD_PROJECT": "p", name: f"duckdb:{value}" if "WAREHOUSE" in name else value})
