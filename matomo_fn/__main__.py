"""`python -m matomo_fn`: the same as the command `matomo-fn`."""

from matomo_fn.app.cli.commands import cli

if __name__ == "__main__":
    cli()
