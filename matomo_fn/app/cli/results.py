"""What plan, sync, status and history print for people, each within 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from matomo_fn.app.cli.calendar import print_calendar
from matomo_fn.app.cli.output import counted, print_errors, print_sentence, print_table

if TYPE_CHECKING:  # each command imports the results that it has, and none those of the others
    from collections.abc import Sequence

    from matomo_fn.app.history import PastRun
    from matomo_fn.app.status import EventsStatus, QualitySummary, Status
    from matomo_fn.sync.audit import AuditResult
    from matomo_fn.sync.request_progress import RequestProgress
    from matomo_fn.sync.result import PlanResult, RunResult

# Characters of what started a run: "schedule", and the beginning of the job's name or the message's number.
_LONGEST_REQUEST = 20


_COUNTS = ("written", "unchanged", "pending", "failed", "remaining")


def print_plan(found: PlanResult) -> None:
    """Print a line for each table, and what all of it takes."""
    head = ("table", "first day", "last day", "slices", "open")
    rows = [(name, item.first_day, item.last_day, item.slices, item.open) for name, item in found.tables.items()]
    print_table(head, rows)
    click.echo()
    slices, sites = counted(found.plan.slices, "slice"), counted(len(found.sites), "site")
    print_sentence(
        f"{slices} of {sites}, about {counted(found.calls, 'call')} to Matomo, "
        f"into {found.dataset}. Open slices are in no table yet; the others are refetched, and written if changed.",
        indent=0,
    )
    if found.reference.tables:
        names = ", ".join(table.name for table in found.reference.tables)
        print_sentence(f"Reference tables, kept current: {names}.", indent=0)
    print_errors(found.problems)


def print_result(result: RunResult) -> None:
    """Print a line for each table, what the whole run did, and a sentence for everything that is missing."""
    # In the order in which columns are given up where a terminal is too narrow: the last one first.
    head = ("table", "written", "unchanged", "pending", "failed", "remaining", "rows", "days", "seconds")
    rows = [(name, *(item.as_dict()[key] for key in head[1:])) for name, item in result.tables.items()]
    print_table(head, rows, quiet=("pending", "failed", "remaining"))
    if result.reference:
        click.echo()
        columns = ("rows", "written", "deleted")
        lines = [(name, *(item.as_dict()[key] for key in columns)) for name, item in result.reference.items()]
        print_table(("reference table", *columns), lines)
    click.echo()
    print_sentence(
        f"{result.verdict}: {counted(result.calls, 'call')} to Matomo, {result.seconds:.1f} seconds, "
        f"run {result.about.run_id}"
    )
    if result.handed_on:
        messages = counted(len(result.handed_on), "message")
        print_sentence(
            f"{messages} of request {result.request_id} were published: `matomo-fn status "
            f"{result.about.connector}` shows how far it is",
            indent=0,
        )
    for sentence in result.changes.sentences():
        print_sentence(f"changed: {sentence}")
    if result.about.mode == "sweep" and not result.changes.slices:
        print_sentence("no final day has changed in Matomo")
    if result.audit:
        print_audit(result.audit, "the sweep has refetched them")
    for finding in result.quality.findings if result.quality else ():
        print_sentence(f"quality: {finding.sentence}")
    for note in result.as_dict()["notes"]:
        print_sentence(f"note: {note}")
    print_errors(result.missing, "missing")
    print_errors(result.as_dict()["errors"])


def print_status(found: Status, calendar: str = "all") -> None:
    """Print a line for each table and site, their calendar, and a sentence for everything that is missing.

    ``calendar``: for what there is one, see `print_calendar`.
    """
    head = [
        "table",
        "site",
        "segment",
        "first day",
        "last day",
        "missing",
        "rows",
        "days",
        "pending",
        "failed",
        "open",
        "visits off by",
    ]
    rows = [
        (
            item.stream.table if item.is_configured else f"({item.stream.table})",
            item.stream.website_id,
            item.stream.segment,
            item.first_day,
            item.last_day,
            item.missing,
            item.rows,
            item.days,
            item.pending,
            item.failed,
            item.open,
            item.visits_difference,
        )
        for item in found.tables
    ]
    print_table(head, rows, quiet=("segment", "pending", "failed", "open", "visits off by"))
    if found.reference:
        click.echo()
        lines = [
            (item.table, item.rows, item.deleted, item.last_synced and f"{item.last_synced:%Y-%m-%d %H:%M}")
            for item in found.reference
        ]
        print_table(("reference table", "rows", "deleted", "last written (UTC)"), lines)
    if calendar != "none":
        print_calendar(found.calendar, calendar)
    if found.last_run:
        click.echo(f"\nlast run {found.last_run.started:%Y-%m-%d %H:%M} UTC: {found.last_run.status}")
    _print_deeds(found)
    if not all(item.is_configured for item in found.tables):
        print_sentence("in brackets: tables and sites that the configuration no longer has")
    for note in found.notes:
        print_sentence(f"note: {note}")
    print_errors(found.problems, "missing")


def _print_deeds(found: Status) -> None:
    """Print how far the requests are, and what the last sweep and the last delivery did."""
    for request in found.requests:
        if not request.is_done or request is found.requests[0]:
            print_sentence(request.sentence)
    if found.last_sweep:
        sweep = found.last_sweep
        click.echo(f"last sweep {sweep.started:%Y-%m-%d %H:%M} UTC: {sweep.status}, {_changed(sweep)}")
        for sentence in sweep.changes.sentences() if sweep.changes else ():
            print_sentence(f"changed: {sentence}")
    _print_events(found.events)
    _print_quality(found.quality)


def _print_events(found: EventsStatus | None) -> None:
    """Print how deliveries stand, where the connector has events."""
    if found:
        last = f"{found.last_delivery:%Y-%m-%d %H:%M} UTC" if found.last_delivery else "never"
        click.echo(f"last delivery of events {last}: {found.rejected} rejected in 7 days, {found.uncertain} uncertain")


def _print_quality(found: QualitySummary | None) -> None:
    """Print what the checks last came to, and a sentence for each finding, where there was a check."""
    if found is None:
        return
    told = ", ".join(f"{number} {verdict}" for verdict, number in found.verdicts.items())
    click.echo(f"quality, last checked {found.last_checked:%Y-%m-%d %H:%M} UTC: {told}")
    for finding in found.findings:
        print_sentence(f"quality: {finding.sentence}")


def print_audit(found: AuditResult, outcome: str = "the next sync refetches and rewrites them") -> None:
    """Print what differs between the log and the tables, and what becomes of it."""
    if found.is_consistent:
        click.echo("log and tables agree")
        return
    for finding in found.findings:
        print_sentence(finding.sentence)
    click.echo(f"{len(found.differences)} slices differ from the log: {outcome}")


def print_history(found: Sequence[PastRun], requests: Sequence[RequestProgress] = ()) -> None:
    """Print a line for each run, and how far each request is that is done in parts."""
    head = ("started (UTC)", "took", "status", *_COUNTS, "rows", "shard", "changed", "request")
    rows = [
        (
            f"{run.started:%Y-%m-%d %H:%M}",
            _duration(run.seconds),
            run.status,
            run.written,
            run.unchanged,
            run.pending,
            run.failed,
            run.remaining,
            run.rows,
            f"{run.shard} of {run.shards}" if run.shard and run.shards else "",
            run.changed,
            "" if run.request_id == run.run_id else run.request_id[:_LONGEST_REQUEST],
        )
        for run in found
    ]
    print_table(head, rows, quiet=("pending", "failed", "remaining", "shard", "changed", "request"))
    for request in requests:
        print_sentence(request.sentence)
    for run in found:
        for sentence in run.changes.sentences() if run.changes else ():
            print_sentence(f"changed by the run of {run.started:%Y-%m-%d %H:%M}: {sentence}")


def _changed(sweep: PastRun) -> str:
    return f"{counted(sweep.changed, 'slice')} changed in Matomo" if sweep.changed else "nothing changed in Matomo"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
