"""Where the rows go: BigQuery, or DuckDB for local runs."""
