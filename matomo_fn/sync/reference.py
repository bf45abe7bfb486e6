"""The reference tables of a run: what Matomo lists now is compared with the tables, and what differs is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from matomo_fn.catalogue import IS_DELETED, REFERENCE_TABLES, ReferenceTable
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.errors import MatomoError, MatomoFatal, ReportRefused, WarehouseError
from matomo_fn.extract.reference_rows import Key, ReferenceRow, parse_reference
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.settings_lists import LISTS_PER_CALL, Wanted
from matomo_fn.sites import Site
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.reference import KnownRow, read_reference, remove_copies, write_reference
from matomo_fn.warehouse.tables import Stamp, ensure_table

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReferenceScope:
    """The reference tables of a request.

    ``sites``: those whose settings are read. ``listed``: every site that Matomo lists. ``is_whole``: all sites of the
    connector are read, so that a site that is not listed is gone.
    """

    tables: tuple[ReferenceTable, ...]
    sites: tuple[Site, ...]
    listed: frozenset[str]
    is_whole: bool

    @property
    def calls(self) -> int:
        """How many HTTP calls reading them takes; the list of sites is read anyway."""
        return -(-len(self.wanted) // LISTS_PER_CALL)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The lists that have to be requested."""
        of_sites = [table for table in self.tables if table.of_site]
        lists = [(table.method, site.id) for site in self.sites for table in of_sites]
        return (*lists, *((_SEGMENTS.method, "") for table in self.tables if table is _SEGMENTS))


@dataclass(slots=True)
class ReferenceResult:
    """What a run did with one reference table: rows that Matomo lists, written and newly marked as deleted."""

    rows: int = 0
    written: int = 0
    deleted: int = 0
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        values: dict[str, Any] = {"rows": self.rows, "written": self.written, "deleted": self.deleted}
        return values | ({"error": self.error} if self.error else {})


@dataclass(frozen=True, slots=True)
class ReferenceOutcome:
    """What became of the reference tables of a run; ``notes`` on what Matomo refuses, which is no failure."""

    tables: Mapping[str, ReferenceResult] = field(default_factory=dict)
    notes: Sequence[str] = ()
    matomo_errors: Sequence[str] = ()
    warehouse_errors: Sequence[WarehouseError] = ()


_SITES, _SEGMENTS = REFERENCE_TABLES["sites"], REFERENCE_TABLES["segments"]


def reference_scope(
    connector: Connector, request: SyncRequest, visible: Sequence[Site], selected: Iterable[str]
) -> ReferenceScope:
    """Return what a request is about: the tables that it names, or all in a run of what is due."""
    tables = connector.references
    if request.tables is not None:
        tables = tuple(table for table in tables if table.name in request.tables)
    elif request.start_date is not None or request.mode != "incremental":
        tables = ()
    chosen = set(request.sites or selected)
    sites = tuple(site for site in visible if site.id in chosen and not site.problem)
    return ReferenceScope(tables, sites, frozenset(site.id for site in visible), request.sites is None)


def sync_reference(
    client: MatomoClient, warehouse: Warehouse, connector: Connector, scope: ReferenceScope, stamp: Stamp
) -> ReferenceOutcome:
    """Bring the reference tables of a scope up to date; a table that fails costs itself only.

    Raises MatomoFatal.
    """
    sync = _ReferenceSync(warehouse, connector, scope, stamp)
    ready = [table for table in scope.tables if sync.prepare(table)]
    if ready:
        try:
            known = read_reference(warehouse, ready)
        except WarehouseError as error:
            sync.warehouse_errors.append(error)
        else:
            answers = client.settings_lists(scope.wanted) if scope.wanted else {}
            for table in ready:
                sync.write(table, sync.read(table, answers), known[table.name])
    return ReferenceOutcome(sync.results, sync.notes, sync.matomo_errors, sync.warehouse_errors)


@dataclass(slots=True)
class _Found:
    """The rows that Matomo lists; ``lists`` are the sites whose lists were read, '' for that of all."""

    rows: list[ReferenceRow] = field(default_factory=list)
    lists: set[str] = field(default_factory=set)


class _ReferenceSync:
    """The reference tables of one run: its steps for each table, and what came of them."""

    def __init__(self, warehouse: Warehouse, connector: Connector, scope: ReferenceScope, stamp: Stamp) -> None:
        self._warehouse = warehouse
        self._connector = connector
        self._scope = scope
        self._stamp = stamp
        self.results = {table.name: ReferenceResult() for table in scope.tables}
        self.notes: list[str] = []
        self.matomo_errors: list[str] = []
        self.warehouse_errors: list[WarehouseError] = []

    def prepare(self, table: ReferenceTable) -> bool:
        """Make a table ready and return whether it can be written."""
        try:
            ensure_table(self._warehouse, table.schema, "day")
        except WarehouseError as error:
            self._failed(table, error)
            return False
        return True

    def read(self, table: ReferenceTable, answers: Mapping[Wanted, object]) -> _Found:
        """Return the rows that Matomo lists of a table; of a list that cannot be read the rows stay."""
        found = _Found()
        if table is _SITES:
            self._parse(table, [dict(site.settings) for site in self._scope.sites], "", found)
        elif table is _SEGMENTS:
            self._parse(table, answers[table.method, ""], "", found)
        else:
            for site in self._scope.sites:
                self._parse(table, answers[table.method, site.id], site.id, found)
        return found

    def write(self, table: ReferenceTable, found: _Found, known: Mapping[Key, KnownRow]) -> None:
        """Write the rows that differ, and mark those that are gone."""
        listed = {row.key for row in found.rows}
        changed = [row for row in found.rows if _differs(known.get(row.key), row)]
        gone = [
            key
            for key, row in known.items()
            if row.connector == self._connector.name
            and not row.is_deleted
            and key not in listed
            and self._is_gone(table, key, found)
        ]
        rows = [dict(row.values) | {"_content_hash": row.content_hash, IS_DELETED.name: False} for row in changed]
        rows += [dict(zip(table.key, key, strict=True)) | {IS_DELETED.name: True} for key in gone]
        try:
            if rows:
                write_reference(self._warehouse, table, rows, self._connector.name, self._stamp)
            else:
                remove_copies(self._warehouse, table, known, self._stamp)
        except WarehouseError as error:
            self._failed(table, error)
            return
        result = self.results[table.name]
        result.rows, result.written, result.deleted = len(found.rows), len(changed), len(gone)

    def _parse(self, table: ReferenceTable, answer: object, site_id: str, found: _Found) -> None:
        where = f" of site {site_id}" if site_id else ""
        if isinstance(answer, ReportRefused):  # of a plugin that is not active, or of a list that users may not see
            self.notes.append(f"table {table.name}{where} is not refreshed: {answer}")
            return
        try:
            if isinstance(answer, MatomoError):
                raise answer
            constants = {"website_id": site_id} if site_id else {"matomo_url": self._connector.matomo_url}
            found.rows += parse_reference(table, answer, constants)
        except MatomoFatal:
            raise
        except MatomoError as error:
            self.matomo_errors.append(f"table {table.name}{where}: {error}")
            self.results[table.name].error = self.results[table.name].error or str(error)
        else:
            found.lists.add(site_id)

    def _is_gone(self, table: ReferenceTable, key: Key, found: _Found) -> bool:
        """Return whether Matomo no longer lists a row that it has not listed in this run.

        Not where its list was not read, and not where the configuration no longer selects a site that is still there.
        """
        if table is _SEGMENTS:
            return "" in found.lists and key[0] == self._connector.matomo_url
        return key[0] in found.lists or (self._scope.is_whole and key[0] not in self._scope.listed)

    def _failed(self, table: ReferenceTable, error: WarehouseError) -> None:
        log.error("table_failed", table=table.name, error=str(error))
        self.results[table.name].error = str(error)
        self.warehouse_errors.append(error)


def _differs(known: KnownRow | None, row: ReferenceRow) -> bool:
    return known is None or known.is_deleted or known.content_hash != row.content_hash
