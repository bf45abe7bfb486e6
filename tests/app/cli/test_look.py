"""`query` and `show` look at a DuckDB file, change nothing, and print what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.app.cli.calling import Called, call, run

if TYPE_CHECKING:
    from pathlib import Path

DATASET = "matomo_shop"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file named like its dataset, with a wide table, one whose name begins with a line, and a view."""
    path = tmp_path / f"{DATASET}.duckdb"
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{path}' as file; create schema file.{DATASET}; use file.{DATASET}")
        wide = ", ".join(f"{number} as wide_column_{number}" for number in range(20))
        connection.execute(
            f"create table {DATASET}.visitor_country as select date '2026-01-01' + n::int as date, "
            f"'Land ' || n as country, n * 10 as visits, n / 3 as share, null as nothing, {wide} from range(30) t(n)"
        )
        connection.execute(f"create view {DATASET}.countries as from {DATASET}.visitor_country limit 3")
        connection.execute(f"create table {DATASET}._sync_log as select date '2026-01-01' as date")
    return path


def look(file: Path, *arguments: str) -> Called:
    """With the file and nothing else: neither secrets nor a project."""
    return call({"MATOMO_FN_WAREHOUSE": f"duckdb:{file}"}, *arguments)


def test_show_without_a_table_lists_them(file: Path) -> None:
    """With their rows and days; the program's own come last."""
    found = look(file, "show")
    assert (found.code, found.err) == (0, "")
    assert [line.split() for line in found.out.splitlines()] == [
        ["table", "rows", "first_day", "last_day"],
        ["countries", "3", "2026-01-01", "2026-01-03"],
        ["visitor_country", "30", "2026-01-01", "2026-01-30"],
        ["_sync_log", "1", "2026-01-01", "2026-01-01"],
    ]


def test_show_has_the_newest_days_first_and_fits_eighty_columns(file: Path) -> None:
    """Numbers as they are, nothing as a dash; the columns without room are named."""
    found = look(file, "show", "visitor_country", "--limit", "2")
    head, *rows = found.out.splitlines()
    assert head.split()[:5] == ["date", "country", "visits", "share", "nothing"]
    assert [row.split()[:4] for row in rows] == [
        ["2026-01-30", "Land", "29", "290"],
        ["2026-01-29", "Land", "28", "280"],
    ]
    assert all(len(line) <= 80 for line in (head, *rows))
    assert "9.666666666666666" in rows[0]
    assert "wide_column_19. --json prints all" in found.err


def test_json_has_every_column_and_type(file: Path) -> None:
    """Days as ISO 8601, numbers as numbers, NULL as null."""
    (row,) = look(file, "show", "visitor_country", "--limit", "1", "--json").json
    assert (row["date"], row["visits"], row["nothing"], len(row)) == ("2026-01-30", 290, None, 25)
    sql = "select 1.5::decimal(4, 2) as money, [1, 2] as list, {'a': date '2026-01-01'} as object, 1 / 0.0 as infinite"
    (row,) = look(file, "query", f"{sql}, timestamptz '2026-01-01 12:00:00+02' as at", "--json").json
    assert row == {
        "money": "1.50",
        "list": [1, 2],
        "object": {"a": "2026-01-01"},
        "infinite": "inf",
        "at": "2026-01-01T10:00:00+00:00",
    }


def test_a_query_finds_tables_by_their_names_with_and_without_the_dataset(file: Path) -> None:
    """Also where the file is named like the dataset."""
    for table in ("visitor_country", f"{DATASET}.visitor_country"):
        found = look(file, "query", f"select sum(visits) as visits from {table}")
        assert (found.code, found.out.split()) == (0, ["visits", "4350"])


def test_control_characters_and_long_texts_do_not_break_the_table(file: Path) -> None:
    """A label is whatever a visitor sent."""
    found = look(file, "query", "select 'a' || chr(10) || chr(27) || '[31m' as label, repeat('x', 90) as long")
    assert [line.split() for line in found.out.splitlines()] == [["label", "long"], [r"a\n\x1b[31m", "x" * 39 + "…"]]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from visitor_country",
        "drop table visitor_country",
        "create table more as select 1",
        "update visitor_country set visits = 0",
        "copy visitor_country to 'stolen.csv'",
        "select * from read_text('{path}')",
        "attach '{path}.other' as more",
        "set enable_external_access = true",
    ],
)
def test_a_query_changes_and_reads_nothing_but_the_tables(sql: str, file: Path) -> None:
    """It is a look: the file stays byte for byte, and no other is read or made."""
    before, names = file.read_bytes(), sorted(file.parent.iterdir())
    found = look(file, "query", sql.format(path=file))
    assert (found.code, found.out) == (2, "")
    assert found.errors[0].startswith("query: ")
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == (before, names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "visitor_contry"), "there is no table 'visitor_contry' in {file}: did you mean 'visitor_country'?"),
        (
            ("show", "--dataset", "matomo_shp"),
            "there is no dataset 'matomo_shp' in {file}: did you mean 'matomo_shop'?",
        ),
        (("query", "select 1; select 2"), "give one statement, such as: select count(*) from visits_summary"),
        (("query", ""), "give one statement, such as: select count(*) from visits_summary"),
        (("query", "select 1 as a, 2 as a", "--json"), "two columns are named 'a': give each its own name with AS"),
        (
            ("show", "--warehouse", "bigquery"),
            "this command looks at a DuckDB file: name it by --warehouse duckdb:PATH or MATOMO_FN_WAREHOUSE (tables in "
            "BigQuery are queried by `bq query` or in the console)",
        ),
        (
            ("show", "--warehouse", "duckdb:nowhere"),
            "there is no DuckDB file nowhere: run a sync first, or name another in MATOMO_FN_WAREHOUSE",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_a_sentence_and_code_2(
    arguments: tuple[str, ...], sentence: str, file: Path
) -> None:
    """It says what there is instead."""
    found = look(file, *arguments)
    said = found.json["errors"] if "--json" in arguments else found.errors
    assert (found.code, said) == (2, [sentence.format(file=file)])


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    """And stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("mine" * 1000)
    found = look(path, "show")
    assert (found.code, len(found.errors)) == (2, 1)
    assert found.errors[0].startswith(f"{path} cannot be read as a DuckDB file: ")


def test_a_file_that_another_process_writes_to_says_so(file: Path) -> None:
    """DuckDB locks it for one process; the look may succeed later, so the code is 1."""
    with duckdb.connect(str(file)):
        found = run({"MATOMO_FN_WAREHOUSE": f"duckdb:{file}"}, "show")
    assert (found.code, found.errors) == (
        1,
        [f"the DuckDB file {file} is open in another process: close it there, then try again"],
    )


def test_several_datasets_have_to_be_told_apart(file: Path) -> None:
    """None of them is guessed."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema matomo_docs; create table matomo_docs.t as select 1 as n")
    found = look(file, "show")
    assert found.errors == [
        f"{file} has several datasets: name one with --dataset: matomo_docs, matomo_shop",
    ]
    assert look(file, "show", "t", "--dataset", "matomo_docs").out.split() == ["n", "1"]
    # A table of one's own need not have days.
    assert look(file, "show", "--dataset", "matomo_docs").out.split()[-4:] == ["t", "1", "-", "-"]


def test_a_file_without_tables_says_what_to_do(tmp_path: Path) -> None:
    """It was made and never filled."""
    path = tmp_path / "empty.duckdb"
    duckdb.connect(str(path)).close()
    assert look(path, "show").errors == [f"there are no tables in {path}: run a sync first"]
