"""Whether a Matomo answers what a connector's tables are made of: each report, and each site's visits log."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from matomo_fn.catalogue import Extraction, Table
from matomo_fn.errors import MatomoError, MatomoFatal, ReportRefused
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.visits_log import PageSize, read_visits
from matomo_fn.sync.scope import Scope, Window

# Sites whose visits logs are looked at, one call each: a Matomo may have hundreds.
_MOST_SITES = 25


class Note(Protocol):
    """Takes what was found."""

    def __call__(self, name: str, detail: str, *, is_good: bool = True) -> None:
        """Write down one thing."""


def check_reports(note: Note, client: MatomoClient, scope: Scope) -> None:
    """Request each report once, of one site and its yesterday, and one visit of each site whose visits are synced.

    Raises MatomoFatal where no further call can succeed.
    """
    if not scope.windows:
        return
    window = scope.windows[0]
    reports = [table for table in scope.tables.values() if table.extraction is Extraction.REPORTS]
    refused = _refused_reports(client, reports, window, scope.version)
    for table, error in refused:
        advice = (
            f'activate the plugin {_plugin(table, scope.version)} in Matomo, or leave the table out of "reports"'
            if isinstance(error, ReportRefused)
            else "a sync would try again"
        )
        note("reports", f"table {table.name}: {error}: {advice}", is_good=False)
    if reports and not refused:
        note("reports", f"Matomo answers all {len(reports)} (site {window.site.id}, {window.last})")
    for table in scope.tables.values():
        if table.extraction is Extraction.VISITS_LOG:
            _check_visits_logs(note, client, scope.windows)


def _refused_reports(
    client: MatomoClient, tables: Sequence[Table], window: Window, version: tuple[int, int]
) -> list[tuple[Table, MatomoError]]:
    refused = []
    errors: dict[object, MatomoError | None] = {}
    for table in tables:
        period = table.period
        for source in table.sources_of(version):
            call = (source.call, period)
            if call not in errors:
                newest = period.first_day(window.last)
                answered = client.report(source, window.site.id, period.covered([newest]), period)
                answer = answered.days[newest]
                errors[call] = answer if isinstance(answer, MatomoError) else None
            error = errors[call]
            if isinstance(error, MatomoFatal):
                raise error
            if error is not None:
                refused.append((table, error))
                break
    return refused


def _plugin(table: Table, version: tuple[int, int]) -> str:
    return " or ".join(dict.fromkeys(source.method.partition(".")[0] for source in table.sources_of(version)))


def _check_visits_logs(note: Note, client: MatomoClient, windows: Sequence[Window]) -> None:
    looked = windows[:_MOST_SITES]
    is_good = True
    for window in looked:
        error = _visits_log_error(client, window.site.id, window.last)
        if error is not None:
            is_good = False
            note(
                "visits",
                f"site {window.site.id}: {error}: switch the visits log on in Matomo, or leave the visits out by "
                '"visits": false',
                is_good=False,
            )
    if is_good:
        of_all = "all sites" if len(looked) == len(windows) else f"the first {len(looked)} of {len(windows)} sites"
        note("visits", f"the visits logs of {of_all} can be read")


def _visits_log_error(client: MatomoClient, site_id: str, day: date) -> MatomoError | None:
    try:
        next(read_visits(client, site_id, (day, day), pages=PageSize(1)), None)
    except MatomoFatal:
        raise
    except MatomoError as error:
        return error
    return None
