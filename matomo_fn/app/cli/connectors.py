"""The connectors that the secrets describe."""

from dataclasses import dataclass
from typing import Any

from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import SecretStore, config_secret, find_connectors, token_secret
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
