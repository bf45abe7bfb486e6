"""`reconcile`: the tables beside Matomo's own totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matomo_fn.app.cli.options import connector_argument, json_option, settings_options, take_settings
from matomo_fn.app.cli.output import FAILED, counted, exit_codes, log_to_terminal, print_json, print_sentence
from matomo_fn.app.reconcile import run_reconcile
from matomo_fn.config.request import RECONCILE_DAYS, SAMPLE_DAYS, read_request

if TYPE_CHECKING:
    from matomo_fn.sync.quality_result import QualityResult


@click.command()
@connector_argument
@click.option("--start-date", metavar="DAY", help="First day, such as 2026-01-31; without it, the last --days.")
@click.option("--end-date", metavar="DAY", help="Last day; without it, yesterday at the site.")
@click.option("--days", type=int, metavar="DAYS", help=f"How many days to look back; without it {RECONCILE_DAYS}.")
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table; repeatable.")
@click.option("--site", "sites", multiple=True, metavar="ID", help="Only this site; repeatable.")
@click.option(
    "--sample-days",
    type=int,
    metavar="DAYS",
    help="How many days, of those of all sites, are refetched and compared row by row; without it "
    f"{SAMPLE_DAYS}. Days on which something differs come on top.",
)
@click.option("--seed", type=int, metavar="NUMBER", help="Chooses the sample; without it another one each day.")
@json_option
@settings_options
def reconcile(connector: str, *, as_json: bool, **options: Any) -> None:
    """Compare the tables with Matomo's own totals.

    Table by table, site by site, day by day: visits, actions, conversions, revenue, and rows refetched. What
    differs is told with its reason, and stands in the table _sync_quality. Exit code 1: something differs without a
    known reason, or could not be compared.
    """
    with exit_codes(as_json=as_json, connector=connector):
        settings = take_settings(options)
        log_to_terminal(settings)
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
        request = {name: value for name, value in given.items() if value not in (None, [])}
        found = run_reconcile(settings, read_request({"connector": connector, "mode": "reconcile", **request}))
        if as_json:
            print_json(found.as_dict())
        else:
            print_reconciled(found)
        if not found.is_good:
            raise SystemExit(FAILED)


def print_reconciled(found: QualityResult) -> None:
    """Print a sentence for each finding, and what was compared."""
    for finding in found.findings:
        print_sentence(finding.sentence)
    for error in found.errors:
        print_sentence(f"not compared: {error}")
    counts = found.counts()
    click.echo(
        f"{found.status}: {counted(counts['checks'], 'check')} of {counted(len(found.tables), 'table')} and "
        f"{counted(len(found.sites), 'site')}, {found.first_day} to {found.last_day}: {counts['ok']} ok, "
        f"{counts['explained']} explained, {counts['differs']} differ"
    )
    if found.sample:
        click.echo(
            f"{found.sample.days} of {found.sample.of} days of sites refetched (seed {found.sample.seed}); "
            f"{counted(found.calls, 'call')} to Matomo, {found.seconds:.1f} seconds"
        )
