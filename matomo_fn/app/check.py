"""Whether a connector can work: configuration, token, Matomo, its sites and reports, the warehouse, in this order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from matomo_fn.app.check_reports import check_reports
from matomo_fn.app.check_segments import check_segments
from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.wiring import Credentials, make_client, new_run
from matomo_fn.catalogue import SYNC_LOG
from matomo_fn.config.connector import Connector
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import SecretStore, open_secret_store, read_token
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoFnError, TokenRefused, UnknownConnector
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sync.scope import Scope, resolve_scope
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.protocol import PartitionBy, Warehouse
from matomo_fn.warehouse.schemas import schema_mismatches

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``is_input``: what is wrong with it, the user's input fixes."""

    name: str
    is_good: bool
    detail: str
    is_input: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON has it."""
        return {"check": self.name, "ok": self.is_good, "detail": self.detail}


class Checks:
    """Collects what was looked at; a part that fails does not keep the others from being looked at."""

    def __init__(self) -> None:
        self.done: list[Check] = []

    def note(self, name: str, detail: str, *, is_good: bool = True) -> None:
        """Write down one thing."""
        self.done.append(Check(name, is_good, detail))

    def refuse(self, name: str, error: MatomoFnError) -> None:
        """Write down what an error says."""
        is_input = isinstance(error, InputError | TokenRefused)
        self.done += [Check(name, is_good=False, detail=sentence, is_input=is_input) for sentence in error.sentences]

    def attempt(self, name: str, part: Callable[[], Part]) -> Part | None:
        """Return what a part gives, or None where it fails, which is then written down."""
        try:
            return part()
        except UnknownConnector:
            raise  # nothing else can be looked at
        except MatomoFnError as error:
            self.refuse(name, error)
        return None


def check_connector(settings: Settings, name: str) -> list[Check]:
    """Return what was looked at, in order; nothing is written.

    Of Matomo its version, its sites, each report for one site and day, and the visits logs. Each call is made once:
    somebody waits for the answer, and a server that is down is what they want to know.
    """
    checks = Checks()
    if checks.attempt("connector", lambda: read_request({"connector": name})) is None:
        return checks.done
    secrets = checks.attempt("secrets", lambda: open_secret_store(settings))
    if secrets is None:
        return checks.done
    try:
        connector = checks.attempt("configuration", lambda: _configuration(checks, secrets, name))
    except UnknownConnector as error:
        checks.refuse("connector", error)
        return checks.done
    token = checks.attempt("token", lambda: read_token(secrets, name))
    scope = None
    if connector is not None and token is not None:
        credentials = Credentials(connector, token, settings.allow_private_addresses)
        client = make_client(credentials, Deadline(), attempts=1)
        scope = checks.attempt("matomo", lambda: _matomo(checks, client, connector))
    if connector is not None:
        checks.attempt("warehouse", lambda: _warehouse(checks, settings, connector, scope))
    return checks.done


def _matomo(checks: Checks, client: MatomoClient, connector: Connector) -> Scope | None:
    """Look at everything that Matomo answers; return what a sync would be about, where that can be told."""
    if not _version(checks, client) or not checks.attempt("sites", lambda: _sites(checks, client, connector)):
        return None
    scope = resolve_scope(client, connector, read_request({"connector": connector.name}), datetime.now(UTC))
    for sentence in scope.refused_tables:
        checks.note("reports", sentence, is_good=False)
    for sentence in scope.left_out:
        checks.note("reports", sentence)
    checks.attempt("reports", lambda: check_reports(checks.note, client, scope))
    checks.attempt("segments", lambda: check_segments(checks.note, client, scope, datetime.now(UTC)))
    return scope


def _configuration(checks: Checks, secrets: SecretStore, name: str) -> Connector:
    connector = find_connector(secrets, name)
    checks.note("configuration", f"{connector.matomo_url} to dataset {connector.dataset_name}")
    for sentence in connector.missing_titles:
        checks.note("configuration", sentence)
    return connector


def _version(checks: Checks, client: MatomoClient) -> bool:
    try:
        text = client.version_text()
    except TokenRefused as error:
        checks.refuse("token", error)
        return False
    checks.note("token", "Matomo accepts it")
    checks.note("matomo", f"version {text}")
    return True


def _sites(checks: Checks, client: MatomoClient, connector: Connector) -> bool:
    """Look at the sites and return whether there is one to sync."""
    visible = {site.id: site for site in client.sites()}
    if not visible:
        raise InputError("the token's user may see no site at all: give it view access to the sites in Matomo")
    good = 0
    for site in connector.sites.choose([*visible.values()]):
        found = visible.get(site)
        if found is not None and found.problem:
            checks.note("sites", f"site {site}: {found.problem}", is_good=False)
        elif found is None:
            problem = "is not there or the token's user may not see it: give it view access, or take the site out"
            checks.note("sites", f"site {site} {problem}", is_good=False)
        else:
            good += 1
            checks.note("sites", f"site {site} {found.name!r}, time zone {found.timezone}, since {found.created}")
    for sentence in connector.sites.unmatched([*visible.values()]):
        checks.note("sites", sentence, is_good=False)
    return good > 0


def _warehouse(checks: Checks, settings: Settings, connector: Connector, scope: Scope | None) -> None:
    warehouse = open_warehouse(settings, connector, run_id=new_run().id, deadline=Deadline(), create=False)
    try:
        warehouse.query("select 1 as one")
        warehouse.check_writable()
        state = SyncState(warehouse, connector)
        if scope is not None and scope.windows and state.exists():
            state.refuse_foreign(scope.tables, scope.windows)
        _tables(checks, warehouse, connector)
    finally:
        warehouse.close()


def _tables(checks: Checks, warehouse: Warehouse, connector: Connector) -> None:
    for sentence in warehouse.dataset_warnings():
        checks.note("warehouse", sentence)
    schemas = [SYNC_LOG, *(connector.schema_of(table) for table in connector.catalogue.values())]
    there = 0
    for schema in schemas:
        found = warehouse.find_table(schema.name)
        if found is None:
            continue
        there += 1
        if schema.retention_days is None:
            for sentence in found.warnings:
                checks.note("warehouse", sentence)
        # The log is as `sync` takes it: by month, or by day where an earlier version created it.
        units: list[PartitionBy] = ["month", "day"] if schema is SYNC_LOG else [connector.partition_by]
        for problem in schema_mismatches(schema, found, units):
            checks.note("warehouse", f"table {schema.name}: {problem}", is_good=False)
    checks.note("warehouse", f"dataset {warehouse.dataset}: {there} of {len(schemas)} tables are there")
