"""Runs the command line."""

from matomo_fn.app.cli.commands import cli

if __name__ == "__main__":
    cli(prog_name="python -m matomo_fn")
