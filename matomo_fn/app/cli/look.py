"""`query` and `show`: a look at the tables in a DuckDB file, without Python and without DuckDB's own program."""

import click

from matomo_fn.app.cli.options import file_options, json_option, take_file
from matomo_fn.app.cli.output import exit_codes, print_json, print_rows
from matomo_fn.warehouse.duckdb_reader import DuckDBReader, Rows


@click.command()
@click.argument("sql")
@json_option
@file_options
def query(sql: str, warehouse: str | None, dataset: str | None, *, as_json: bool) -> None:
    """Query the tables of a DuckDB file.

    SQL is one statement in DuckDB's dialect, such as "select date, nb_visits from visits_summary". It can change
    neither the tables nor any file.
    """
    with exit_codes(as_json=as_json), DuckDBReader(take_file(warehouse), dataset) as reader:
        _print(reader.query(sql), as_json=as_json)


@click.command()
@click.argument("table", required=False)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="ROWS", help="At most so many rows."
)
@json_option
@file_options
def show(table: str | None, limit: int, warehouse: str | None, dataset: str | None, *, as_json: bool) -> None:
    """Show a table of a DuckDB file.

    The newest rows of TABLE, or without one what tables there are.
    """
    with exit_codes(as_json=as_json), DuckDBReader(take_file(warehouse), dataset) as reader:
        if table is None:
            rows = [(name, *reader.summary(name)) for name in reader.tables()]
            _print(Rows(("table", "rows", "first_day", "last_day"), rows), as_json=as_json)
        else:
            _print(reader.newest_rows(table, limit), as_json=as_json)


def _print(found: Rows, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dicts())
    else:
        print_rows(found.columns, found.rows)
