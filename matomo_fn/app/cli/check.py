"""`check`: whether a connector can work."""

from typing import Any

import click

from matomo_fn.app.check import check_connector
from matomo_fn.app.cli.options import connector_argument, json_option, settings_options, take_settings
from matomo_fn.app.cli.output import (
    BAD_INPUT,
    FAILED,
    exit_codes,
    log_to_terminal,
    print_json,
    print_sentence,
)


@click.command()
@connector_argument
@json_option
@settings_options
def check(connector: str, *, as_json: bool, **options: Any) -> None:
    """See whether a connector can work, and what to fix.

    Looks at the configuration, the token, Matomo's version, the sites that the token may see, whether Matomo answers
    each report (for one site and yesterday) and has visits logs, and whether the warehouse can be written to. Writes
    nothing.
    """
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        checks = check_connector(settings, connector)
        if as_json:
            good = all(item.is_good for item in checks)
            print_json({"status": "ok" if good else "failed", "checks": [item.as_dict() for item in checks]})
        else:
            for item in checks:
                print_sentence(f"{'ok   ' if item.is_good else 'wrong'}  {item.name:<13}  {item.detail}", indent=22)
        if any(item.is_input and not item.is_good for item in checks):
            raise SystemExit(BAD_INPUT)
        if not all(item.is_good for item in checks):
            raise SystemExit(FAILED)
