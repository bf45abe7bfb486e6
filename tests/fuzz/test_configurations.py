"""Whatever stands in a configuration: a connector whose every part can be used, or each problem in a sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from matomo_fn.app.wiring import Credentials, read_credentials
from matomo_fn.config.settings import VARIABLES, Settings, read_settings
from matomo_fn.errors import InputError
from matomo_fn.redaction import protect, redact
from matomo_fn.warehouse import sql
from tests.fuzz.fuzzing import (
    LONGEST_SENTENCE,
    ODD_TEXTS,
    documents,
    edited,
    edits,
    encoded,
    fuzzed,
    nothing_unforeseen,
    patched,
    patches,
)
from tests.support.canary import CANARY, assert_absent

if TYPE_CHECKING:
    from pathlib import Path

# One that says something of every key.
FULL: dict[str, Any] = {
    "matomo_url": "https://matomo.example.com/",
    "sites": {"include": ["1", "2"], "exclude": ["3"]},
    "dataset": "matomo_shop",
    "location": "EU",
    "reports": ["prebuilt", "visitor_city", "Events.getName"],
    "custom_reports": [
        {"report": "Events.getAction", "name": "actions_of_events", "fields": ["label", "nb_events"], "flat": True},
        {"report": "CustomDimensions.getCustomDimension", "parameters": {"idDimension": "1"}, "name": "dimension_1"},
    ],
    "visits": {"intraday": True, "exclude": ["visit_ip", "actions.url"], "retention_days": 400},
    "periods": ["week", "month"],
    "segments": {"mobile": "deviceType==smartphone", "saved": "saved:Phones"},
    "reference_tables": ["sites", "goals"],
    "events": {"site": "1", "goals": {"Sold": 1}, "dimensions": {"traits.plan": 1}, "ip": "full"},
    "partition_by": "month",
    "require_partition_filter": True,
    "kms_key": "projects/p/locations/EU/keyRings/r/cryptoKeys/k",
    "maximum_bytes_billed": 2**40,
    "backfill_days": 30,
    "trailing_days": 3,
    "concurrency": 4,
    "requests_per_minute": 300,
    "timeout_seconds": 120,
    "page_rows": 1_000,
}
VALID = [
    FULL,
    {"matomo_url": "https://matomo.example.com", "sites": "all"},
    {"matomo_url": "http://[::1]:8080/m/index.php", "sites": ["1"], "reports": "all", "visits": True},
    {key: FULL[key] for key in ("matomo_url", "sites", "segments", "periods", "visits")},
]
bodies = st.one_of(
    st.builds(lambda value, changes: encoded(edited(value, changes)), st.sampled_from(VALID), edits),
    st.builds(lambda value, changes: encoded(edited(value, changes)), st.sampled_from(VALID), edits),
    documents.map(encoded),
    st.builds(lambda value, pieces: patched(encoded(value), pieces), st.sampled_from(VALID), patches),
)
tokens = st.one_of(
    st.just(CANARY.encode()),
    st.sampled_from(ODD_TEXTS).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


def sentences_of(error: InputError) -> tuple[str, ...]:
    """The sentences of an error as they are shown."""
    shown = tuple(redact(sentence) for sentence in error.sentences)
    assert shown
    assert len(shown) <= 60
    for sentence in shown:
        assert sentence.strip()
        assert len(sentence) <= LONGEST_SENTENCE
        assert "unforeseen" not in sentence
        assert "validation error" not in sentence
    assert_absent(sentences="\n".join(shown))
    return shown


@fuzzed(30)
@given(body=bodies, token=tokens)
def test_a_configuration_is_a_connector_or_sentences(secrets: Path, body: bytes, token: bytes) -> None:
    (secrets / "matomo-shop-config").write_bytes(body)
    (secrets / "matomo-shop-token").write_bytes(token)
    protect(CANARY)
    settings = Settings(secrets=str(secrets), warehouse="duckdb:x.duckdb")
    with nothing_unforeseen():
        try:
            found = read_credentials(settings, "shop")
        except InputError as error:
            event("sentences")
            sentences_of(error)
            return
        event("connector")
        use(found)


def use(credentials: Credentials) -> None:
    """Every part of a connector can be had, and statements made of its names are one statement each."""
    connector = credentials.connector
    assert connector.matomo_url.endswith("/")
    assert connector.dataset_name.replace("_", "a").isalnum()
    for table in connector.catalogue.values():
        assert table.name.replace("_", "a").isalnum()
        schema = connector.schema_of(table)
        assert len({name.lower() for name in schema.column_names}) == len(schema.column_names)
        assert "`" not in sql.table_name(connector.dataset_name, table.name).strip("`")
        assert connector.segments_of(table)[0] == ""
    for name in ("visits", "visitor_city", "sites", "nothing", "visits_summary_week"):
        assert connector.table_problem(name) is None or connector.table_problem(name)
    assert connector.own_catalogue is not None
    assert isinstance(connector.missing_titles, tuple)
    assert isinstance(connector.excluded_columns, tuple)
    assert isinstance(connector.references, tuple)
    assert repr(credentials).count(CANARY) == repr(connector).count(CANARY)


NAMES = st.sampled_from([*VARIABLES.values(), "MATOMO_FN_TIME_BUDGETS", "MATOMO_FN_", "MATOMO_FN_\x00", "HOME"])
TEXTS = st.sampled_from(
    [
        *ODD_TEXTS,
        *(
            "bigquery",
            "duckdb:",
            "duckdb:~x/y",
            "duckdb:~",
            "~nobody",
            "secret-manager",
            "shop,blog",
        ),
        *(
            "all",
            "auto",
            "json",
            "matomo-shop-token=3",
            "matomo-shop-token=",
            "127.0.0.1:8085",
        ),
        *(
            "[::1]:80",
            "http://[",
            "86401",
            "007",
            "½",
        ),
    ]
)


@fuzzed(30)
@given(st.dictionaries(NAMES, TEXTS | st.text(max_size=10), max_size=4))
def test_an_environment_is_settings_or_sentences(environment: dict[str, str]) -> None:
    with nothing_unforeseen():
        try:
            settings = read_settings({"GOOGLE_CLOUD_PROJECT": "p", **environment})
        except InputError as error:
            protect(CANARY)
            event("sentences")
            sentences_of(error)
            return
    event("settings")
    assert settings.warehouse == "bigquery" or settings.duckdb_path is not None


def test_the_configuration_of_every_key_is_valid(secrets: Path) -> None:
    """What the edits begin with, or all of them would only change what is refused anyway."""
    (secrets / "matomo-shop-token").write_text(CANARY)
    for value in VALID:
        (secrets / "matomo-shop-config").write_text(json.dumps(value))
        use(read_credentials(Settings(secrets=str(secrets), warehouse="duckdb:x.duckdb"), "shop"))
