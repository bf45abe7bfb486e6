"""`deliver`: events of a file, a query or Pub/Sub, into Matomo."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import click

from matomo_fn.app.cli.options import connector_argument, json_option, settings_options, take_settings
from matomo_fn.app.cli.output import (
    BAD_INPUT,
    FAILED,
    counted,
    exit_codes,
    log_to_terminal,
    print_errors,
    print_json,
    print_sentence,
    print_table,
)
from matomo_fn.app.cli.progress import counter
from matomo_fn.app.deliveries import Source, open_file, query_rows, run_delivery
from matomo_fn.app.wiring import new_run
from matomo_fn.config.request import read_request
from matomo_fn.errors import InputError
from matomo_fn.events.deliver import Uncertain
from matomo_fn.events.result import DeliveryResult
from matomo_fn.verdict import Verdict

_COUNTS = ("pulled", "sent", "already_sent", "rejected", "uncertain", "remaining", "hits")


@click.command()
@connector_argument
@click.option("--file", "path", metavar="PATH", help="Calls of Segment, one a line; - is standard input.")
@click.option("--query", "statement", metavar="SQL", help="Rows of the connector's warehouse, each a call.")
@click.option(
    "--uncertain",
    type=click.Choice(["ask", "resend", "drop"]),
    default="ask",
    show_default=True,
    help="What to do with what an earlier delivery may have sent: ask Matomo, send it once more, or take it as sent.",
)
@json_option
@settings_options
def deliver(
    connector: str, path: str | None, statement: str | None, uncertain: str, *, as_json: bool, **options: Any
) -> None:
    """Send Segment's calls to Matomo, once each.

    From a file, from a query, or without either from the connector's subscription in Pub/Sub. What was sent before is
    not sent again, so the same file can be delivered twice.
    """
    run = new_run()
    with exit_codes(as_json=as_json, connector=connector, run_id=run.id):
        settings = take_settings(options)
        log_to_terminal(settings)
        read_request({"connector": connector, "mode": "deliver"})
        with (
            _source(path, statement, cast("Uncertain", uncertain)) as source,
            counter("events", as_json=as_json) as progress,
        ):
            result = run_delivery(settings, connector, run, source, progress)
        if as_json:
            print_json(result.as_dict())
        else:
            _print(result)
        if result.token_refused:
            raise SystemExit(BAD_INPUT)
        if result.verdict is not Verdict.COMPLETE:
            raise SystemExit(FAILED)


@contextmanager
def _source(path: str | None, statement: str | None, uncertain: Uncertain) -> Iterator[Source]:
    if path is not None and statement is not None:
        raise InputError("--file and --query: give one of them")
    if path is not None:
        with open_file(path) as queue:
            yield Source(queue, waits=True, uncertain=uncertain)
    elif statement is not None:
        yield Source(query_rows(statement), waits=True, uncertain=uncertain)
    else:
        yield Source(uncertain=uncertain)


def _print(result: DeliveryResult) -> None:
    values = result.as_dict()
    skipped = result.tally.skipped
    print_table((*_COUNTS, "skipped"), [(*(values[name] for name in _COUNTS), skipped.total())])
    click.echo()
    print_sentence(
        f"{result.verdict}: {counted(result.calls, 'call')} to Matomo, {result.seconds:.1f} seconds, "
        f"run {result.run_id}"
    )
    for reason, count in sorted(skipped.items()):
        print_sentence(f"note: {count} skipped: {reason}")
    print_errors(result.errors)
