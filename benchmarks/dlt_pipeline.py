"""A dlt pipeline that makes the calls of dlt's verified Matomo source; run in an environment of its own that has dlt.

It is a resource of our own, and not that source: it sends the same requests in the same order, and hands the same rows
to dlt. The reports of a query go as one bulk call for all days, without paging; visits come in pages of 2,000 by
offset, newest first, up to an empty one. Both are loaded into DuckDB, tables within rows down to two levels.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
from dlt.sources.helpers.requests import client as http

_PAGE = 2_000


def main() -> None:
    """Load what the order on the standard input says, and print how many rows each table has."""
    order = json.load(sys.stdin)
    duckdb = dlt.destinations.duckdb(order["file"])
    pipeline = dlt.pipeline("bench", destination=duckdb, dataset_name="matomo", pipelines_dir=order["folder"])
    source = dlt.source(max_table_nesting=2)
    pipeline.run(source(_reports)(order))
    rows = dict(pipeline.last_trace.last_normalize_info.row_counts)
    if order["visits"]:
        pipeline.run(source(_visits)(order))
        rows |= pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps(rows))


def _reports(order: Mapping[str, Any]) -> Any:
    for site in order["sites"]:
        for position, query in enumerate(order["queries"]):
            yield dlt.resource(_rows, name=f"query_{site}_{position}", write_disposition="append")(order, site, query)


def _visits(order: Mapping[str, Any]) -> Any:
    for site in order["sites"]:
        yield dlt.resource(_pages, name=f"visits_{site}", write_disposition="append")(order, site)


def _rows(order: Mapping[str, Any], site: str, query: Mapping[str, Any]) -> Iterator[Any]:
    urls = {
        f"urls[{index}]": f"method={method}&idSite={site}&period=day&date={order['first']},{order['last']}"
        for index, method in enumerate(query["methods"])
    }
    for method, answer in zip(query["methods"], _call(order, urls | query["extra_params"]), strict=True):
        found = []
        for key, value in answer.items():
            date = datetime.fromisoformat(key).replace(tzinfo=UTC)
            found += [row | {"date": date} for row in (value if isinstance(value, list) else [value])]
        yield dlt.mark.with_table_name(found, method)


def _pages(order: Mapping[str, Any], site: str) -> Iterator[Any]:
    after = (datetime.now(UTC) - timedelta(days=order["days"])).replace(hour=0, minute=0, second=0, microsecond=0)
    offset = 0
    while True:
        page = f"method=Live.getLastVisitsDetails&idSite={site}&filter_limit={_PAGE}&filter_offset={offset}"
        (visits,) = _call(order, {"urls[0]": page, "minTimestamp": int(after.timestamp())})
        if not visits:
            return
        yield dlt.mark.with_table_name(visits, "visits")
        offset += len(visits)


def _call(order: Mapping[str, Any], params: Mapping[str, Any]) -> list[Any]:
    fixed = {"module": "API", "method": "API.getBulkRequest", "format": "json", "token_auth": order["token"]}
    response = http.get(f"{order['url']}index.php", params=fixed | dict(params))
    response.raise_for_status()
    answers: list[Any] = response.json()
    for answer in answers:
        if isinstance(answer, dict) and answer.get("result") == "error":
            raise RuntimeError(answer["message"])
    return answers


if __name__ == "__main__":
    main()
