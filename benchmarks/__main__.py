"""`python -m benchmarks`: measures and prints a table."""

import json
import logging
import sys
from collections.abc import Callable, Iterator

import click

from benchmarks.beside_dlt import beside_dlt
from benchmarks.calls import calls
from benchmarks.deliver import deliver
from benchmarks.fan_out import fan_out
from benchmarks.figures import Figure, table_of
from benchmarks.many_sites import many_sites
from benchmarks.memory import memory
from benchmarks.partitions import partitions
from benchmarks.planning import planning
from benchmarks.start import start
from benchmarks.throughput import throughput
from benchmarks.visits import visits
from benchmarks.wall import wall
from matomo_fn.app.logs import configure_logs

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "rows": throughput,
    "memory": memory,
    "calls": calls,
    "visits": visits,
    "planning": planning,
    "start": start,
    "partitions": partitions,
    "sites": many_sites,
    "deliver": deliver,
    "fan_out": fan_out,
    "wall": wall,
    "dlt": beside_dlt,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(names: tuple[str, ...], *, as_json: bool) -> None:
    """Run the benchmarks of those NAMES, or all."""
    configure_logs("json", sys.stderr, logging.ERROR)
    figures = [figure for name in names or BENCHMARKS for figure in BENCHMARKS[name]()]
    print(json.dumps([figure.as_dict() for figure in figures], indent=2) if as_json else table_of(figures))


if __name__ == "__main__":
    main()
