"""The analyzer is tested too: it accepts what BigQuery accepts, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.analyzer import Analyzer, AnalyzerError

if TYPE_CHECKING:
    from collections.abc import Callable


T = "test.d.visitor_country"
S = "test.d.staging"
COLUMNS = [
    ("date", "DATE", "REQUIRED"),
    ("website_id", "STRING", "REQUIRED"),
    ("visits", "INTEGER", "NULLABLE"),
    ("rate", "FLOAT", "NULLABLE"),
    ("is_new", "BOOLEAN", "NULLABLE"),
    ("synced_at", "TIMESTAMP", "NULLABLE"),
    ("extra", "JSON", "NULLABLE"),
    ("goals", "STRUCT<id STRING, revenue FLOAT64>", "REPEATED"),
    ("labels", "ARRAY<STRING>", "NULLABLE"),
]
MERGE = f"""
merge `{T}` t
using `{S}` s
on false
when not matched by source
  and t.date in (date '2026-11-18', date '2026-11-19') and t.website_id = '1'
  then delete
when not matched by target then
  insert (date, website_id, visits) values (s.date, s.website_id, s.visits)
"""


@pytest.fixture(scope="module")
def sql(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows two tables with the same columns."""
    return analyzer({T: COLUMNS, S: COLUMNS})


@pytest.mark.parametrize(
    "statement",
    [
        MERGE,
        f"select date, visits / 2 as half, goals[safe_offset(0)].revenue from `{T}` where is_new",
        f"select t.date, g.id from `{T}` t, unnest(t.goals) as g where g.revenue > 1.5",
        f"select * from `{T}` qualify row_number() over (partition by date order by synced_at desc) = 1",
        "select d from unnest(generate_date_array(date '2026-01-01', date '2026-01-31')) as d",
        "select x.a, x.b from unnest([struct('a' as a, date '2026-01-01' as b), struct('c', null)]) as x",
        f"with a as (select date from `{T}`), b as (select date from `{S}`) select * from a union all select * from b",
        f"select json_value(extra, '$.a'), timestamp '2026-01-01 00:00:00+00' < synced_at from `{T}`",
        "create table `test.d.new` (date date not null options (description = 'the day'), extra json, "
        "goals array<struct<id string, revenue float64>>, primary key (date) not enforced) "
        "partition by date cluster by date options (description = 'x')",
        f"create table if not exists `test.d.new` as select * from `{T}`",
        f"create view `test.d.view` as select date, sum(visits) as visits from `{T}` group by date",
        f"create or replace view `test.d.view` options (description = 'x') as select date from `{T}`",
        f"alter table `{T}` add column if not exists city string options (description = 'x')",
        f"alter table `{T}` add column more array<struct<a string, b int64>>",
        f"drop table if exists `{T}`",
        f"truncate table `{S}`",
        f"insert into `{T}` (date, website_id, visits) select date, website_id, visits from `{S}`",
        f"insert into `{T}` (date, website_id) values (date '2026-01-01', '1'), (date '2026-01-02', '1')",
        f"delete from `{T}` where date = date '2026-01-01'",
        f"update `{T}` set visits = 1 where website_id = @site;",
    ],
)
def test_the_analyzer_accepts_what_bigquery_accepts(sql: Analyzer, statement: str) -> None:
    """Every kind of statement that the project may write passes."""
    sql.check(statement)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (f"select nope from `{T}`", "Unrecognized name: nope"),
        ("select 1 from `test.d.missing`", "Table not found: `test.d.missing`"),
        (f"select visits + website_id from `{T}`", "No matching signature for operator +"),
        (f"select 1 from `{T}` where date = 20260101", "No matching signature for operator ="),
        (f"select date, visits from `{T}` group by date", "neither grouped nor aggregated"),
        (f"select g.nope from `{T}` t, unnest(t.goals) as g", "nope"),
        (f"select goals.id from `{T}`", "Cannot access field id on a value with type ARRAY"),
        ("select 1 as at", "Unexpected keyword AT"),
        (f"select qualify from `{T}`", "Unexpected keyword QUALIFY"),
        ("select cast('1' as int32)", "Type not found: int32"),
        ("select no_such_function(1)", "Function not found"),
        ("selec 1", "Syntax error"),
        ("select 1; select 2", "Expected end of input"),
        (
            MERGE.replace("s.visits", "s.website_id"),
            "type STRING which cannot be inserted into column visits",
        ),
        (MERGE.replace("insert (date,", "insert (nope,"), "nope"),
        (MERGE.replace(", visits)", ")"), "Inserted row has wrong column count"),
        (f"insert into `{T}` (date, website_id) select website_id, date from `{S}`", "cannot be inserted"),
        (f"create view `test.d.v` as select sum(website_id) as x from `{T}`", "No matching signature"),
        ("create table `test.d.new` (a strin)", "Type not found: strin"),
        ("create table `test.d.new` (a string, a string)", "Duplicate column name a"),
        (f"alter table `{T}` add column visits int64", "Column already exists: visits"),
        ("alter table `test.d.missing` add column x int64", "Table not found"),
    ],
)
def test_the_analyzer_finds_what_bigquery_refuses(sql: Analyzer, statement: str, complaint: str) -> None:
    """A wrong name, type or word is found, and the message says which."""
    with pytest.raises(AnalyzerError) as caught:
        sql.check(statement)
    assert complaint in str(caught.value)


def test_the_analyzer_names_the_columns_of_a_query(sql: Analyzer) -> None:
    """What a view gives can be compared with what its description says."""
    assert sql.columns(f"select date, sum(visits) as visits from `{T}` group by date") == ["date", "visits"]
