"""What collecting a connector's events takes, read once and kept for some minutes.

An event must not cost two calls of Secret Manager. gunicorn's threads share what is kept; two that read the same at the
same moment do harmless work.
"""

import threading
import time
from dataclasses import dataclass

import structlog

from matomo_fn.config.connector import CONNECTOR_NAME
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.config.secret_store import open_secret_store, read_signature
from matomo_fn.config.settings import Settings
from matomo_fn.config.signature import SignatureSecrets
from matomo_fn.errors import SecretNotFound, SecretsUnavailable, UnknownConnector

log = structlog.get_logger()

# Seconds that a connector is kept, and that its old state is kept on where Secret Manager does not answer.
KEEP_SECONDS, RETRY_SECONDS = 300.0, 30.0
# Connectors that are kept, and names that are none, of which a stranger can make up as many as there are.
_MOST_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Collector:
    """A connector that collects events: how, and what its requests are signed with."""

    connector: str
    events: EventsConfig
    signature: SignatureSecrets


@dataclass(frozen=True, slots=True)
class _Kept:
    settings: Settings
    until: float
    collector: Collector | None


_kept: dict[str, _Kept] = {}
_lock = threading.Lock()


def find_collector(settings: Settings, name: str) -> Collector | None:
    """Return the connector of that name if it collects events, from memory where it was read a moment ago.

    Raises InputError with what is wrong with its secrets, or SecretsUnavailable.
    """
    if not CONNECTOR_NAME.fullmatch(name) or (settings.connectors and name not in settings.connectors):
        return None
    kept = _kept.get(name)
    if kept and kept.settings != settings:
        kept = None
    if kept and time.monotonic() < kept.until:
        return kept.collector
    try:
        collector = _read(settings, name)
    except SecretsUnavailable as error:
        if kept is None or kept.collector is None:
            raise
        log.warning("secrets_kept", connector=name, errors=list(error.sentences))
        return _keep(name, _Kept(settings, time.monotonic() + RETRY_SECONDS, kept.collector))
    return _keep(name, _Kept(settings, time.monotonic() + KEEP_SECONDS, collector))


def _keep(name: str, kept: _Kept) -> Collector | None:
    with _lock:
        _kept.pop(name, None)
        _kept[name] = kept
        while len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
    return kept.collector


def _read(settings: Settings, name: str) -> Collector | None:
    secrets = open_secret_store(settings)
    try:
        connector = find_connector(secrets, name)
    except (UnknownConnector, SecretNotFound):
        return None
    if connector.events is None:
        return None
    return Collector(name, connector.events, read_signature(secrets, name))
