"""The connectors that the secrets describe, by name."""

import difflib
from collections.abc import Sequence

from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.secret_store import SecretStore, config_secret, find_connectors
from matomo_fn.errors import InputError, MatomoFnError, SecretMissing, SecretNotFound, UnknownConnector

# Connectors that a sentence lists.
_NAMED = 20


def find_connector(secrets: SecretStore, name: str) -> Connector:
    """Return the connector of that name.

    Raises UnknownConnector, with the names that there are, where it has no configuration and others have; otherwise
    another InputError with every problem, or SecretsUnavailable.
    """
    try:
        text = secrets.read(config_secret(name))
    except SecretNotFound as error:
        others = _names(secrets)
        if not others:
            raise
        raise UnknownConnector(f"there is no connector {name!r}: {_listed(name, others)} ({error})") from None
    return read_connector(name, text)


def every_connector(secrets: SecretStore, named: Sequence[str]) -> tuple[str, ...]:
    """Return the connectors that "all" stands for: those ``named`` in the settings, or those that have secrets."""
    if named:
        return tuple(named)
    try:
        found = tuple(find_connectors(secrets))
    except SecretMissing as error:
        raise InputError(f'{error}: name the connectors that "all" stands for in MATOMO_FN_CONNECTORS') from None
    if not found:
        raise InputError('there is no connector: "all" stands for those that have a secret matomo-NAME-config')
    return found


def _names(secrets: SecretStore) -> list[str]:
    try:
        return list(find_connectors(secrets))
    except MatomoFnError:  # an account may read two secrets and not list them; the first error says enough
        return []


def _listed(name: str, others: list[str]) -> str:
    close = difflib.get_close_matches(name, others, n=1)
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    there = f"there are {', '.join(others[:_NAMED])}{more}" if len(others) > 1 else f"there is {others[0]}"
    if len(others) == 1 and close:
        return f"did you mean {close[0]!r}?"
    return f"did you mean {close[0]!r}? {there.capitalize()}" if close else there
