"""How the environment may be set."""

from __future__ import annotations

from tests.program.bad_inputs.case import (
    Case,
)

ENVIRONMENT = (
    Case(
        "a misspelt variable",
        400,
        ("environment: unknown variable MATOMO_FN_TIME_BUGDET: did you mean 'MATOMO_FN_TIME_BUDGET'?",),
        env={"MATOMO_FN_TIME_BUGDET": "60"},
    ),
    Case(
        "a warehouse that is none",
        400,
        ("environment: MATOMO_FN_WAREHOUSE: 'snowflake' is neither bigquery nor duckdb:PATH",),
        env={"MATOMO_FN_WAREHOUSE": "snowflake"},
    ),
    Case(
        "DuckDB without a file",
        400,
        ("environment: MATOMO_FN_WAREHOUSE: 'duckdb:' is neither bigquery nor duckdb:PATH",),
        env={"MATOMO_FN_WAREHOUSE": "duckdb:"},
    ),
    Case(
        "no folder for the secrets",
        400,
        ("environment: MATOMO_FN_SECRETS: '/no/such/folder' is neither secret-manager nor a folder that exists",),
        env={"MATOMO_FN_SECRETS": "/no/such/folder"},
    ),
    Case(
        "no project for Secret Manager",
        400,
        (
            "environment: GOOGLE_CLOUD_PROJECT is not set: it names the project of the secrets and the dataset "
            "(for a local run set MATOMO_FN_SECRETS to a folder and MATOMO_FN_WAREHOUSE to duckdb:PATH)",
        ),
        env={"MATOMO_FN_SECRETS": None},
    ),
    Case(
        "a time that is no number",
        400,
        ('environment: MATOMO_FN_TIME_BUDGET has to be a whole number, not "9m"',),
        env={"MATOMO_FN_TIME_BUDGET": "9m"},
    ),
    Case(
        "a time too long",
        400,
        ("environment: MATOMO_FN_TIME_BUDGET has to be 86400 or less, not 100000",),
        env={"MATOMO_FN_TIME_BUDGET": "100000"},
    ),
    Case(
        "a form of logs that is none",
        400,
        ("environment: MATOMO_FN_LOG_FORMAT has to be 'auto', 'json' or 'text', not \"xml\"",),
        env={"MATOMO_FN_LOG_FORMAT": "xml"},
    ),
    Case(
        "an address of the emulator that is none",
        400,
        ("environment: BIGQUERY_EMULATOR_HOST: 'ftp://x' is not an address such as 127.0.0.1:9050",),
        env={"BIGQUERY_EMULATOR_HOST": "ftp://x"},
    ),
    Case(
        "a pinned version that is no number",
        400,
        ("environment: MATOMO_FN_SECRET_VERSIONS: 'matomo-shop-token=latest' does not read like matomo-shop-token=3",),
        env={"MATOMO_FN_SECRET_VERSIONS": "matomo-shop-token=latest"},
    ),
    Case(
        "a pinned version of a file",
        400,
        ("environment: MATOMO_FN_SECRET_VERSIONS pins versions in Secret Manager; a folder has none",),
        env={"MATOMO_FN_SECRET_VERSIONS": "matomo-shop-token=3"},
    ),
    Case(
        "several problems at once",
        400,
        (
            "environment: unknown variable MATOMO_FN_SECRET: did you mean 'MATOMO_FN_SECRETS'?",
            "environment: MATOMO_FN_WAREHOUSE: 'postgres' is neither bigquery nor duckdb:PATH",
            "environment: MATOMO_FN_BUFFER_MEGABYTES has to be 1 or more, not 0",
        ),
        env={"MATOMO_FN_SECRET": "x", "MATOMO_FN_WAREHOUSE": "postgres", "MATOMO_FN_BUFFER_MEGABYTES": "0"},
    ),
)
