"""What somebody else may have done to the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tests.program.bad_inputs.case import (
    BEFORE,
    SUMMARY_SLICES,
    Case,
)
from tests.support.shop import DATASET, Shop

if TYPE_CHECKING:
    from collections.abc import Callable


def sql(*statements: str) -> Callable[[Shop], None]:
    """What somebody else did to the warehouse."""

    def run(place: Shop) -> None:
        with duckdb.connect(str(place.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


def no_database(place: Shop) -> None:
    place.warehouse.write_text("date,visits\n2024-03-05,3\n" * 1000)


def a_folder(place: Shop) -> None:
    place.warehouse.unlink()
    place.warehouse.mkdir()


def another_matomo(place: Shop) -> None:
    """A second connector: the same dataset, the same number of a site, but of another Matomo."""
    sql(f"update {DATASET}._sync_log set connector = 'blog', matomo_url = 'https://blog.example.org/'")(place)


CLASH = "It was left as it is: rename or drop it, or give the connector another dataset"
TABLE = f"table {DATASET}.visitor_country exists and does not fit: "
WAREHOUSE = (
    Case(
        "a column of another type: the other tables are written",
        500,
        (f"{TABLE}column visits is STRING, not INT64. {CLASH}",),
        wrong=sql(f"alter table {DATASET}.visitor_country alter visits type varchar"),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a view in the table's place",
        500,
        (f"{TABLE}it is a view. {CLASH}",),
        wrong=sql(
            f"drop table {DATASET}.visitor_country",
            f"create view {DATASET}.visitor_country as select 1 as visits",
        ),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a column that has to have a value, and nothing gives it one",
        500,
        (f"{TABLE}column note is required and nothing fills it. {CLASH}",),
        wrong=sql(
            f"drop table {DATASET}.visitor_country",
            f"create table {DATASET}.visitor_country (date date not null, note varchar not null)",
        ),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a table in place of the view of the log",
        500,
        (f"{DATASET}._sync_state is a table where a view belongs. It was left as it is: rename or drop it",),
        wrong=sql(f"drop view {DATASET}._sync_state", f"create table {DATASET}._sync_state (x integer)"),
    ),
    Case(
        "a log of another make",
        500,
        (f"table {DATASET}._sync_log exists and does not fit: column run_id is INT64, not STRING. {CLASH}",),
        wrong=sql(
            f"drop view {DATASET}._sync_state",
            f"drop table {DATASET}._sync_log",
            f"create table {DATASET}._sync_log (date date, run_id bigint)",
        ),
    ),
    Case(
        "another Matomo's sites in the dataset",
        400,
        (
            f"connector 'blog' fills site 1 of dataset {DATASET} from https://blog.example.org/: give connector "
            "'shop' a dataset of its own, since tables tell sites by number alone",
        ),
        request={"start_date": str(BEFORE)},
        wrong=another_matomo,
    ),
    Case(
        "a file that is no database",
        500,
        (
            'the DuckDB file <file> cannot be opened (IO Error: The file "<file>" exists, but it is not a valid DuckDB '
            "database file!): name another one in MATOMO_FN_WAREHOUSE",
        ),
        wrong=no_database,
    ),
    Case(
        "a folder for the file",
        500,
        (
            'the DuckDB file <file> cannot be opened (IO Error: Could not read from file "<file>": Is a directory): '
            "name another one in MATOMO_FN_WAREHOUSE",
        ),
        wrong=a_folder,
    ),
    Case(
        "a file for a folder on the way",
        500,
        (
            "the DuckDB file <file>/warehouse.duckdb cannot be opened ([Errno 17] File exists: '<file>'): name another "
            "one in MATOMO_FN_WAREHOUSE",
        ),
        env={"MATOMO_FN_WAREHOUSE": "duckdb:<file>/warehouse.duckdb"},
    ),
)
