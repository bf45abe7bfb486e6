"""Where a connector's configuration and token come from: Secret Manager, or a folder of files."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from matomo_fn.config.settings import Settings
from matomo_fn.config.signature import SignatureSecrets
from matomo_fn.config.token import Token
from matomo_fn.errors import InputError, SecretMissing, SecretNotFound

# What a shell or a word processor puts around a text; no token begins or ends with one.
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
# Characters of a secret that requests are signed with: a shorter one can be guessed from a request that was seen.
_LEAST_SIGNATURE = 16
_CONFIG_NAME = re.compile(r"matomo-(?P<connector>.+)-config")


class SecretStore(Protocol):
    """Something that knows secrets by their names."""

    def read(self, name: str) -> str:
        """Return the text of a secret; raise SecretMissing or SecretsUnavailable."""

    def names(self, prefix: str) -> Collection[str]:
        """Return the names that begin with a prefix; raise SecretMissing or SecretsUnavailable."""


class FolderSecretStore:
    """SecretStore as files of a folder, each named like its secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str:
        """Return the text of the file of that name."""
        path = self._folder / name
        try:
            return path.read_text(encoding="utf-8-sig")  # editors on Windows put a byte order mark in front
        except FileNotFoundError:
            raise SecretNotFound(f"there is no file {path}: write the secret {name} into it") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the file {path} is not UTF-8 text") from None
        except OSError as error:
            raise SecretMissing(f"the file {path} cannot be read: {error.strerror}") from None

    def names(self, prefix: str) -> Collection[str]:
        """Return the names of the files that begin with a prefix."""
        try:
            return {path.name for path in self._folder.glob(f"{prefix}*") if path.is_file()}
        except OSError as error:
            raise SecretMissing(f"the folder {self._folder} cannot be read: {error.strerror}") from None


def open_secret_store(settings: Settings) -> SecretStore:
    """Return the secrets that the settings name."""
    if settings.secrets != "secret-manager":
        return FolderSecretStore(Path(settings.secrets))
    # Imported here: a local run has no need of Google's client, and it takes a second to import.
    from matomo_fn.config.secret_manager import SecretManagerStore

    return SecretManagerStore(settings.project, settings.secret_versions)


def find_connectors(secrets: SecretStore) -> dict[str, bool]:
    """Return the connectors that have a configuration, in order, and whether each has a token; no secret is read."""
    names = secrets.names("matomo-")
    found = sorted(match["connector"] for match in map(_CONFIG_NAME.fullmatch, names) if match)
    return {connector: token_secret(connector) in names for connector in found}


def config_secret(connector: str) -> str:
    """Return the name of the secret that holds a connector's configuration."""
    return f"matomo-{connector}-config"


def token_secret(connector: str) -> str:
    """Return the name of the secret that holds a connector's token."""
    return f"matomo-{connector}-token"


def signature_secret(connector: str) -> str:
    """Return the name of the secret that a connector's requests from Segment are signed with."""
    return f"matomo-{connector}-signature"


def read_token(secrets: SecretStore, connector: str) -> Token:
    """Return a connector's token."""
    name = token_secret(connector)
    return token_of(secrets.read(name), name)


def token_of(text: str, name: str) -> Token:
    """Return the token that a secret's text holds, without the one line break that editors and pipes put behind it.

    Raises InputError for what cannot be a token, before Matomo sees it: 21 refused tokens block the address.
    """
    text = text.removesuffix("\n").removesuffix("\r")
    token = text.strip()
    if not token:
        raise InputError(f"the secret {name} is empty: put the Matomo token into it")
    if any(character in token for character in "\r\n\t"):
        raise InputError(f"the secret {name} has more than one line: it has to be the token alone")
    if token != text:
        raise InputError(f"the secret {name} has white space around the token: it has to be the token alone")
    if token[0] in _QUOTES or token[-1] in _QUOTES:
        raise InputError(f"the secret {name} has quotes around the token: it has to be the token alone")
    return Token(token)


def read_signature(secrets: SecretStore, connector: str) -> SignatureSecrets:
    """Return the texts that a connector's requests from Segment are signed with, and redact them from now on.

    The secret is one line, or two while it is being changed: the new text and the one before.
    """
    name = signature_secret(connector)
    lines = secrets.read(name).splitlines()
    if not any(lines):
        raise InputError(f"the secret {name} is empty: put the shared secret of Segment's webhook into it")
    if len(lines) > 2:
        raise InputError(f"the secret {name} has {len(lines)} lines: it can have two, the new secret and the old one")
    for line in lines:
        if not line or line != line.strip():
            raise InputError(f"the secret {name} has white space around the shared secret, or an empty line: remove it")
        if line[0] in _QUOTES or line[-1] in _QUOTES:
            raise InputError(f"the secret {name} has quotes around the shared secret: remove them")
        if len(line) < _LEAST_SIGNATURE:
            raise InputError(f"the secret {name} is too short: it has to have {_LEAST_SIGNATURE} characters or more")
    found = SignatureSecrets(*lines)
    found.protect()
    return found
