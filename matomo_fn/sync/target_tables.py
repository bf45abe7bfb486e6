"""The tables that a run writes to: created, extended, or rebuilt beside those that are there."""

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.config.request import SyncRequest
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.sync.outcome import Run, Status
from matomo_fn.sync.result import Tally
from matomo_fn.sync.scope import Scope
from matomo_fn.sync.session import Session
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.write import Writer
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.partitions import refuse_too_many_days
from matomo_fn.warehouse.rebuild import drop_rebuild, finish_rebuild, prepare_rebuild, rebuilt
from matomo_fn.warehouse.schemas import column_types
from matomo_fn.warehouse.tables import ensure_found_table, ensure_table, ensure_view

log = structlog.get_logger()


class TargetTables:
    """The tables of a scope as the warehouse has them.

    ``columns``: those of open tables, by name, which Matomo's answers add to. ``rebuilt``: the names of the tables that
    the request rebuilds. ``errors``: of tables that cannot be written, or were not rebuilt.
    """

    def __init__(self, session: Session, request: SyncRequest, scope: Scope, run: Run, tally: Tally) -> None:
        self.columns: dict[str, OpenColumns] = {}
        self.rebuilt: list[str] = []
        self.errors: list[WarehouseError] = []
        self._session = session
        self._request = request
        self._scope = scope
        self._run = run
        self._tally = tally
        self._absent: set[str] = set()

    def prepare(self, state: SyncState, *, is_new: bool) -> list[str]:
        """Make the tables ready and return the names of those that can be written.

        A table whose columns Matomo's answers bring is created once the first of them are known. ``is_new``: the log
        has just been created, so that it says nothing of any table.
        """
        ready = []
        for table in self._scope.tables.values():
            try:
                self._prepare_table(state, table, is_new=is_new)
                ready.append(table.name)
            except WarehouseError as error:
                if self._session.deadline.interrupted_by:
                    raise
                log.error("table_refused", table=table.name, error=str(error))
                self._tally.tables[table.name].error = str(error)
                self.errors.append(error)
        return ready

    def is_there(self, name: str) -> bool:
        """Return whether a table is there already."""
        return name not in self._absent

    def closed(self, table: Table) -> Table:
        """Return the table that rows are written to, with all their columns, once the warehouse has it so."""
        session = self._session
        closed = self.columns[table.name].table if table.name in self.columns else table
        if table.name in self.rebuilt:
            fresh = rebuilt(closed, self._run.id)
            prepare_rebuild(session.warehouse, fresh)
            return fresh
        if closed is table:
            return table
        ensure_table(session.warehouse, session.connector.schema_of(closed), session.connector.partition_by)
        return closed

    def finish_rebuild(self, writer: Writer, name: str) -> None:
        """Let a rebuilt table take the place of the old one, or leave that as it is."""
        session, connector = self._session, self._session.connector
        slices = [entry.slice for entry in writer.held(name) if entry.status is Status.WRITTEN]
        if not slices:
            return
        table = self._scope.tables[name]
        closed = self.columns[name].table if name in self.columns else table
        fresh = rebuilt(closed, self._run.id)
        if left := self._tally.tables[name].remaining:
            sentence = f"{left} slices could not be requested in time: give the run more time, or request fewer days"
            self._give_up_rebuild(fresh, name, WarehouseError(sentence))
            return
        try:
            finish_rebuild(session.warehouse, connector.schema_of(closed), fresh, slices, connector.partition_by)
        except WarehouseError as error:
            self._give_up_rebuild(fresh, name, error)
            return
        log.info("table_rebuilt", table=name, slices=len(slices))
        writer.log_held(name, session.deadline.logging)

    @property
    def notes(self) -> list[str]:
        """Sentences on fields that the configuration names and no row has."""
        return [
            f"table {name}: no row has the field {field!r} that the configuration names: its column is NULL"
            for name, columns in self.columns.items()
            for field in columns.unknown_fields
        ]

    def _prepare_table(self, state: SyncState, table: Table, *, is_new: bool) -> None:
        warehouse = self._session.warehouse
        found = warehouse.find_table(table.name)
        if not is_new and found is None:
            # What the log says of it is no longer true. Marked first, since a run may die before the table is created.
            state.invalidate(table.name, run_id=self._run.id, at=self._session.now())
        is_rebuilt = found is not None and self._is_rebuilt(table)
        if table.open is not None:
            columns = OpenColumns(table, column_types(found) if found and not is_rebuilt else {})
            self.columns[table.name] = columns
            if found is None:
                self._absent.add(table.name)
                return
            table = columns.table
        if is_rebuilt:
            self.rebuilt.append(table.name)
            return
        try:
            connector = self._session.connector
            ensure_found_table(warehouse, connector.schema_of(table), found, [connector.partition_by])
        except SchemaMismatch as error:
            if table.open is None:
                raise
            raise SchemaMismatch(f"{error}, or rebuild it by --table {table.name} --mode full_refresh") from None
        windows = self._scope.windows
        first, last = min(window.first for window in windows), max(window.last for window in windows)
        refuse_too_many_days(warehouse, table.name, first, last)
        for view in table.views:
            query = sql.view_query(warehouse.dataset, table.name, view)
            ensure_view(warehouse, view.schema, query)

    def _is_rebuilt(self, table: Table) -> bool:
        """Return whether the request rebuilds a table: a full refresh that names it, and visits have no second copy."""
        return self._request.mode == "full_refresh" and self._request.tables is not None and not table.is_log

    def _give_up_rebuild(self, fresh: Table, name: str, error: WarehouseError) -> None:
        """Note that a table is as it was."""
        log.error("table_failed", table=name, error=str(error))
        self._tally.undo(name, str(error))
        self.errors.append(type(error)(f"table {name} was not rebuilt and is as it was: {error}"))
        drop_rebuild(self._session.warehouse, fresh)
