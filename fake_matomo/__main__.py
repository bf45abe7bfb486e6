"""`python -m fake_matomo`: serve the default world until SIGINT or SIGTERM."""

import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import click

from fake_matomo.matomo import TOKEN, FakeMatomo
from fake_matomo.sites import World, default_world


def _limited_history(world: World, days: int) -> World:
    """Return the world with no site older than that many days."""
    first = (datetime.now(UTC) - timedelta(days=days)).date()
    return replace(world, sites=tuple(replace(site, created=max(site.created, first)) for site in world.sites))


def _wait_for_eof(stopped: Event) -> None:
    sys.stdin.read()
    stopped.set()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--days", default=0, help="Days of history of the sites at most; 0 for all their years.")
@click.option("--token", default=TOKEN, show_default=True, help="Token of a user with write access to all sites.")
@click.option("--mount", default="", help="Path prefix, such as /wp-content/plugins/matomo/app.")
@click.option("--until-eof", is_flag=True, help="Stop at the end of standard input, such as when the parent ends.")
def main(host: str, port: int, days: int, token: str, mount: str, *, until_eof: bool) -> None:  # one each option
    """Serve a fake Matomo: invented sites and traffic behind the HTTP API of a real one.

    It takes hits at matomo.php, and has them in its visits log and its reports.

    It prints its URL and token when it is ready. The same seed gives the same data; hits are kept in memory.
    """
    world = default_world()
    if days:
        world = _limited_history(world, days)
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if until_eof:
        Thread(target=_wait_for_eof, args=(stopped,), daemon=True).start()
    with FakeMatomo(world, host=host, port=port, token=token, mount=mount) as matomo:
        click.echo(f"fake Matomo at {matomo.url} token {token}")
        stopped.wait()


if __name__ == "__main__":
    main()
