"""`python -m fake_matomo`: serves the default world until it is told to end."""

import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import click

from fake_matomo.matomo import TOKEN, FakeMatomo
from fake_matomo.sites import World, default_world


def _created_lately(world: World, days: int) -> World:
    """The same sites, none older than so many days."""
    first = (datetime.now(UTC) - timedelta(days=days)).date()
    return replace(world, sites=tuple(replace(site, created=max(site.created, first)) for site in world.sites))


def _wait_for_eof(ended: Event) -> None:
    sys.stdin.read()
    ended.set()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--days", default=0, help="Let the sites be no older than this; 0 leaves them some years.")
@click.option("--token", default=TOKEN, show_default=True, help="Token of a user who sees all sites.")
@click.option("--mount", default="", help="Path prefix, such as /wp-content/plugins/matomo/app.")
@click.option("--until-eof", is_flag=True, help="End when standard input does, as it does with whoever started this.")
def main(host: str, port: int, days: int, token: str, mount: str, *, until_eof: bool) -> None:  # one each option
    """Serve a sample Matomo."""
    world = default_world()
    if days:
        world = _created_lately(world, days)
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if until_eof:
        Thread(target=_wait_for_eof, args=(ended,), daemon=True).start()
    with FakeMatomo(world, host=host, port=port, token=token, mount=mount) as matomo:
        click.echo(f"sample Matomo at {matomo.url} token {token}")
        ended.wait()


if __name__ == "__main__":
    main()
