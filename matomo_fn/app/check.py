"""Whether a connector can work: configuration, token, Matomo, its sites, the warehouse, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from matomo_fn.app.open_warehouse import open_warehouse
from matomo_fn.app.wiring import Credentials, make_client, new_run
from matomo_fn.catalogue import SYNC_LOG
from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import SecretStore, config_secret, open_secret_store, read_token
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoFnError, TokenRefused
from matomo_fn.matomo.client import MatomoClient
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

    def attempt(self, name: str, part: Callable[[], Part]) -> Part | None:
        """Return what a part gives, or None where it fails, which is then written down."""
        try:
            return part()
        except MatomoFnError as error:
            is_input = isinstance(error, InputError)
            self.done += [
                Check(name, is_good=False, detail=sentence, is_input=is_input) for sentence in error.sentences
            ]
        return None


def check_connector(settings: Settings, name: str) -> list[Check]:
    """Return what was looked at, in order; nothing is written and Matomo is asked for its version and sites only."""
    checks = Checks()
    if checks.attempt("connector", lambda: read_request({"connector": name})) is None:
        return checks.done
    secrets = checks.attempt("secrets", lambda: open_secret_store(settings))
    if secrets is None:
        return checks.done
    connector = checks.attempt("configuration", lambda: _configuration(checks, secrets, name))
    token = checks.attempt("token", lambda: read_token(secrets, name))
    if connector is not None and token is not None:
        client = make_client(Credentials(connector, token, settings.allow_private_addresses), Deadline())
        if checks.attempt("matomo", lambda: _version(checks, client)):
            checks.attempt("sites", lambda: _sites(checks, client, connector))
    if connector is not None:
        checks.attempt("warehouse", lambda: _warehouse(checks, settings, connector))
    return checks.done


def _configuration(checks: Checks, secrets: SecretStore, name: str) -> Connector:
    connector = read_connector(name, secrets.read(config_secret(name)))
    checks.note("configuration", f"{connector.matomo_url} to dataset {connector.dataset_name}")
    for sentence in connector.missing_titles:
        checks.note("configuration", sentence)
    return connector


def _version(checks: Checks, client: MatomoClient) -> bool:
    try:
        text = client.version_text()
    except TokenRefused as error:
        checks.note("token", str(error), is_good=False)
        return False
    checks.note("token", "Matomo accepts it")
    checks.note("matomo", f"version {text}")
    return True


def _sites(checks: Checks, client: MatomoClient, connector: Connector) -> None:
    visible = {site.id: site for site in client.sites()}
    if not visible:
        raise InputError("the token's user may see no site at all: give it view access to the sites in Matomo")
    for site in visible if connector.sites == "all" else connector.sites:
        found = visible.get(site)
        if found is not None and found.problem:
            checks.note("sites", f"site {site}: {found.problem}", is_good=False)
        elif found is None:
            problem = "is not there or the token's user may not see it: give it view access, or take the site out"
            checks.note("sites", f"site {site} {problem}", is_good=False)
        else:
            checks.note("sites", f"site {site} {found.name!r}, time zone {found.timezone}, since {found.created}")


def _warehouse(checks: Checks, settings: Settings, connector: Connector) -> None:
    warehouse = open_warehouse(settings, connector, run_id=new_run().id, deadline=Deadline(), create=False)
    try:
        warehouse.query("select 1 as one")
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
        accepted: list[PartitionBy] = ["month", "day"] if schema is SYNC_LOG else [connector.partition_by]
        for problem in schema_mismatches(schema, found, accepted):
            checks.note("warehouse", f"table {schema.name}: {problem}", is_good=False)
    checks.note("warehouse", f"dataset {warehouse.dataset}: {there} of {len(schemas)} tables are there")
