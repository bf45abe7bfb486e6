"""Settings of the process: the environment is read here and nowhere else."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from matomo_fn.config.connector import CONNECTOR_NAME
from matomo_fn.config.validation import read_model, suggestion
from matomo_fn.errors import InputError

PREFIX = "MATOMO_FN_"
_VERSION = re.compile(r"(?P<secret>matomo-[a-z0-9-]+-(?:config|token|signature))=(?P<version>[1-9][0-9]*)")

_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_TOPIC = re.compile(r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _decimal(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _truth(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _expanded(path: str) -> Path:
    """Return a path with the home folder in the place of ~; raise ValueError where no path can read so."""
    try:
        expanded = Path(path).expanduser()
        expanded.exists()
    except RuntimeError:
        raise ValueError(f"{path!r}: there is no home folder {Path(path).parts[0]}") from None
    except OSError as error:  # one that is too long
        raise ValueError(f"{path[:80]!r}: {error.strerror}") from None
    return expanded


def _versions(value: Any) -> Any:
    versions = {}
    for item in filter(None, (part.strip() for part in str(value).split(","))):
        match = _VERSION.fullmatch(item)
        if not match:
            raise ValueError(f"{item!r} does not read like matomo-shop-token=3")
        versions[match["secret"]] = match["version"]
    return versions


def _connectors(value: Any) -> Any:
    names = tuple(dict.fromkeys(filter(None, re.split(r"[\s,]+", str(value)))))
    for name in names:
        if not CONNECTOR_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a connector name: lower-case letters, digits and hyphens")
    return names


class Settings(BaseModel):
    """How this process runs; each field is read from the variable that is its alias."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True)

    secrets: str = Field(
        validation_alias=f"{PREFIX}SECRETS",
        default="secret-manager",
        description="Where configuration and token come from: secret-manager, or the path of a folder of files.",
    )
    secret_versions: Annotated[dict[str, str], BeforeValidator(_versions)] = Field(
        validation_alias=f"{PREFIX}SECRET_VERSIONS",
        default_factory=dict,
        description="Versions that secrets are pinned to, such as matomo-shop-token=3; without one, the newest.",
    )
    connectors: Annotated[tuple[str, ...], BeforeValidator(_connectors)] = Field(
        validation_alias=f"{PREFIX}CONNECTORS",
        default=(),
        description='The connectors that "all" stands for, such as shop,blog; without it, those that have secrets.',
    )
    warehouse: str = Field(
        validation_alias=f"{PREFIX}WAREHOUSE",
        default="bigquery",
        description="Where the tables are: bigquery, or duckdb:PATH.",
    )
    time_budget: Annotated[int, BeforeValidator(_number)] = Field(
        validation_alias=f"{PREFIX}TIME_BUDGET",
        default=0,
        ge=0,
        le=86_400,
        description="Seconds that a run may take: it stops in time, writes what it has, says what is left. 0: no end.",
    )
    requests_topic: str = Field(
        validation_alias=f"{PREFIX}REQUESTS_TOPIC",
        default="",
        description="The Pub/Sub topic that the function takes its requests from: what is too much for one run is "
        "handed on by it.",
    )
    seconds_per_call: Annotated[float, BeforeValidator(_decimal)] = Field(
        validation_alias=f"{PREFIX}SECONDS_PER_CALL",
        default=1.0,
        ge=0.01,
        le=600,
        description="Seconds that Matomo takes for a call, as estimated: how much of a request one run has time for.",
    )
    buffer_megabytes: Annotated[int, BeforeValidator(_number)] = Field(
        validation_alias=f"{PREFIX}BUFFER_MEGABYTES",
        default=128,
        ge=1,
        le=100_000,
        description="Megabytes of rows (uncompressed) that wait before they are written.",
    )
    allow_private_addresses: Annotated[bool, BeforeValidator(_truth)] = Field(
        validation_alias=f"{PREFIX}ALLOW_PRIVATE_ADDRESSES",
        default=True,
        description="true, or false: no connection to a Matomo at an address that is not public.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        validation_alias=f"{PREFIX}LOG_FORMAT",
        default="auto",
        description="json, text, or auto: text on a terminal, JSON elsewhere.",
    )
    project: str = Field(
        validation_alias="GOOGLE_CLOUD_PROJECT",
        default="",
        description="The Google Cloud project of secrets and dataset.",
    )
    emulator: str = Field(
        validation_alias="BIGQUERY_EMULATOR_HOST",
        default="",
        description="Address of a BigQuery emulator, which is then asked without credentials.",
    )
    pubsub_emulator: str = Field(
        validation_alias="PUBSUB_EMULATOR_HOST",
        default="",
        description="Address of a Pub/Sub emulator, such as 127.0.0.1:8085, which is then asked without credentials.",
    )

    @field_validator("warehouse")
    @classmethod
    def _warehouse(cls, value: str) -> str:
        if value != "bigquery" and not (value.startswith("duckdb:") and value.removeprefix("duckdb:").strip()):
            raise ValueError(f"{value!r} is neither bigquery nor duckdb:PATH")
        # The shell expands ~ at the beginning of a word only, which the one in duckdb:~/matomo.duckdb is not.
        return value if value == "bigquery" else f"duckdb:{_expanded(value.removeprefix('duckdb:').strip())}"

    @field_validator("requests_topic")
    @classmethod
    def _requests_topic(cls, value: str) -> str:
        if value and not _TOPIC.fullmatch(value):
            raise ValueError(f"{value!r} is not the name of a topic such as matomo-fn-requests")
        return value

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, value: str) -> str:
        if value == "secret-manager":
            return value
        folder = _expanded(value)
        if not folder.is_dir():
            raise ValueError(f"{value!r} is neither secret-manager nor a folder that exists")
        return str(folder)

    @field_validator("emulator")
    @classmethod
    def _emulator(cls, value: str) -> str:
        if not value:
            return value
        address = value if "://" in value else f"http://{value}"
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise ValueError(f"{value!r} is not an address such as 127.0.0.1:9050")
        return address

    @field_validator("pubsub_emulator")
    @classmethod
    def _pubsub_emulator(cls, value: str) -> str:
        if value and not _HOST_AND_PORT.fullmatch(value):
            raise ValueError(f"{value!r} is not an address such as 127.0.0.1:8085")
        return value

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if not self.project and (self.warehouse == "bigquery" or self.secrets == "secret-manager"):
            raise ValueError(
                "GOOGLE_CLOUD_PROJECT is not set: it names the project of the secrets and the dataset "
                "(for a local run set MATOMO_FN_SECRETS to a folder and MATOMO_FN_WAREHOUSE to duckdb:PATH)"
            )
        if self.requests_topic and not self.project:
            raise ValueError("GOOGLE_CLOUD_PROJECT is not set: it names the project of the topic of requests")
        if self.secret_versions and self.secrets != "secret-manager":
            raise ValueError("MATOMO_FN_SECRET_VERSIONS pins versions in Secret Manager; a folder has none")
        return self

    @property
    def duckdb_path(self) -> Path | None:
        """The file of the embedded warehouse, or None where the warehouse is BigQuery."""
        return None if self.warehouse == "bigquery" else Path(self.warehouse.removeprefix("duckdb:"))


# Field of Settings -> environment variable. docs/settings.md and Terraform name the same ones (tested).
VARIABLES = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}


def settings_from_environment(overrides: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process; ``overrides`` (by field name) come from the command line."""
    return read_settings(os.environ, overrides)


def read_settings(environment: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of an environment; ``overrides`` (by field name) come from the command line.

    Raises InputError with every problem; an unknown variable with the prefix is one, since a misspelt setting
    would otherwise be ignored in silence.
    """
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in VARIABLES.values())
    problems = [f"environment: unknown variable {name}: {suggestion(name, VARIABLES.values())}" for name in unknown]
    # An empty variable is how deployment tools write "not set".
    values = {name: environment[name] for name in VARIABLES.values() if environment.get(name)}
    values |= {VARIABLES[field]: value for field, value in (overrides or {}).items()}
    try:
        settings = read_model(Settings, values, "environment")
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if problems:
        raise InputError(problems)
    return settings
