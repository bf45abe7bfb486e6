"""`python -m matomo_fn`: the same as the command `matomo-fn`."""

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it at once while it is being imported, and is never lost afterwards.

    Python raises KeyboardInterrupt wherever the main thread is. Imports call back where it is printed and ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from matomo_fn.app.cli.group import cli, import_command

    if import_command(sys.argv[1:]):
        from matomo_fn.app.signals import remember_interrupts

        remember_interrupts()
    cli()


if __name__ == "__main__":
    main()
