"""`plan` and `sync`: each reads its options, calls what does the work, and prints what comes back."""

from typing import Any

import click

from matomo_fn.app.cli.options import (
    connector_argument,
    json_option,
    request_options,
    settings_options,
    take_request,
    take_requests,
    take_settings,
)
from matomo_fn.app.cli.output import FAILED, exit_codes, log_to_terminal, print_json
from matomo_fn.app.cli.progress import progress_bar
from matomo_fn.app.cli.results import print_plan, print_result
from matomo_fn.app.cli.several import exit_code_of, sync_several
from matomo_fn.app.fan_out import Handing
from matomo_fn.app.wiring import make_plan, new_run, run_sync
from matomo_fn.config.request import SeveralRequests


@click.command()
@connector_argument
@request_options
@json_option
@settings_options
def plan(connector: str, *, as_json: bool, **options: Any) -> None:
    """Show what a sync would request and write; do nothing of it."""
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        found = make_plan(settings, take_request(connector, options))
        if as_json:
            print_json(found.as_dict())
        else:
            print_plan(found)
        if found.problems:
            raise SystemExit(FAILED)


class _SyncCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Point at `plan` where a dry run is wanted."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name == "--dry-run":
                raise click.UsageError("a dry run is a command of its own: plan, with the same options", ctx) from None
            raise


@click.command(cls=_SyncCommand)
@click.argument("names", metavar="CONNECTOR...", nargs=-1, required=True)
@request_options
@click.option(
    "--detach", is_flag=True, help="Publish the request in shards, for the function to sync, and do not wait for it."
)
@json_option
@settings_options
def sync(names: tuple[str, ...], *, detach: bool, as_json: bool, **options: Any) -> None:
    """Sync what is due, or a window of days.

    Requests reports from Matomo, compares them with what the tables have, and writes what changed. Several connectors
    are synced one after the other; `all` is every one.
    """
    run = new_run()
    with exit_codes(as_json=as_json, connector=",".join(names), run_id=run.id):
        settings = take_settings(options)
        log_to_terminal(settings)
        request = take_requests(names, options, settings)
        handing = Handing.EVERYTHING if detach else Handing.NOTHING
        if isinstance(request, SeveralRequests):
            raise SystemExit(sync_several(settings, request, handing, as_json=as_json))
        with progress_bar(as_json=as_json) as progress:
            result = run_sync(settings, request, run, progress, handing=handing)
        if as_json:
            print_json(result.as_dict())
        else:
            print_result(result)
        raise SystemExit(exit_code_of(result))
