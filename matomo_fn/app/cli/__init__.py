"""The command line: `python -m matomo_fn COMMAND CONNECTOR`."""
