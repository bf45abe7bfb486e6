"""`connectors`: those that the secrets describe."""

from dataclasses import dataclass
from typing import Any

import click

from matomo_fn.app.cli.options import json_option, secrets_options, take_secrets
from matomo_fn.app.cli.output import BAD_INPUT, exit_codes, print_errors, print_json, print_table
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import (
    SecretStore,
    config_secret,
    find_connectors,
    open_secret_store,
    token_secret,
)
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError


@dataclass(frozen=True, slots=True)
class Listed:
    """A connector as far as its configuration can be read; ``problems`` has a sentence for each reason why not."""

    name: str
    matomo_url: str | None
    dataset: str | None
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the connector as JSON has it."""
        return {
            "connector": self.name,
            "matomo_url": self.matomo_url,
            "dataset": self.dataset,
            "errors": list(self.problems),
        }


def list_connectors(secrets: SecretStore) -> list[Listed]:
    """Return every connector that has a configuration, by name; no token is read, only whether it is there."""
    return [_listed(secrets, name, has_token=has_token) for name, has_token in find_connectors(secrets).items()]


def _listed(secrets: SecretStore, name: str, *, has_token: bool) -> Listed:
    problems: tuple[str, ...] = () if has_token else (f"connector {name!r} has no secret {token_secret(name)}",)
    try:
        read_request({"connector": name})
        connector = read_connector(name, secrets.read(config_secret(name)))
    except InputError as error:
        return Listed(name, None, None, (*error.problems, *problems))
    return Listed(name, connector.matomo_url, connector.dataset_name, problems)


@click.command("connectors")
@json_option
@secrets_options
def connectors_command(*, as_json: bool, **options: Any) -> None:
    """List the connectors that have secrets.

    Each with its Matomo and its dataset. Tokens are not read.
    """
    with exit_codes(as_json=as_json):
        settings = take_secrets(options)
        found = list_connectors(open_secret_store(settings))
        if as_json:
            print_json({"connectors": [item.as_dict() for item in found]})
        elif found:
            print_table(("connector", "Matomo", "dataset"), [(i.name, i.matomo_url, i.dataset) for i in found])
            print_errors([problem for item in found for problem in item.problems])
        else:
            click.echo(f"there is no secret matomo-NAME-config in {_place_of_secrets(settings)}")
        if any(item.problems for item in found):
            raise SystemExit(BAD_INPUT)


def _place_of_secrets(settings: Settings) -> str:
    return f"project {settings.project}" if settings.secrets == "secret-manager" else settings.secrets
