"""Record keeping: what became of each slice, and one row for each run."""

from matomo_fn.catalogue.model import Column, ColumnType, Schema

SYNC_LOG = Schema(
    "_sync_log",
    "One row for each change of what is known of a slice (table, site, segment, period). Appended, never changed.",
    (
        Column(
            "date",
            ColumnType.DATE,
            "The slice's day; the first day of a week, month or year, and the last of a rolling window.",
            required=True,
        ),
        Column("connector", ColumnType.STRING, "The connector that the run was for.", required=True),
        Column("matomo_url", ColumnType.STRING, "The Matomo that was asked.", required=True),
        Column("table_name", ColumnType.STRING, "The slice's table.", required=True),
        Column("website_id", ColumnType.STRING, "The slice's site.", required=True),
        Column("segment", ColumnType.STRING, "The slice's segment; '' for all visits.", required=True),
        Column(
            "status",
            ColumnType.STRING,
            "written: the table has what Matomo answered; unchanged: it had it already, or visits that Matomo has "
            "deleted since; pending: Matomo has not processed the day, or see error; failed: see error.",
            required=True,
        ),
        Column("row_count", ColumnType.INT64, "Rows of the slice in the table.", required=True),
        Column(
            "content_hash",
            ColumnType.STRING,
            "SHA-256 of the slice's rows in the table; NULL where it never was written.",
        ),
        Column(
            "has_others",
            ColumnType.BOOL,
            'Whether Matomo\'s row limit cut the report (it has an "Others").',
            required=True,
        ),
        Column(
            "is_final",
            ColumnType.BOOL,
            "Whether the day was older than the trailing days: it is not refetched by itself.",
            required=True,
        ),
        Column(
            "written_run_id",
            ColumnType.STRING,
            "The run whose rows stand in the table; NULL where it never was written.",
        ),
        Column(
            "visits_difference",
            ColumnType.INT64,
            "Of the table visits: how many visits it has of the day more than VisitsSummary.get counts.",
        ),
        Column("run_id", ColumnType.STRING, "The run that handled the slice.", required=True),
        Column(
            "request_id",
            ColumnType.STRING,
            "What started the run (message, schedule): a run of the same request that was cut off is gone on with.",
            required=True,
        ),
        Column("started_at", ColumnType.TIMESTAMP, "When the run began.", required=True),
        Column(
            "logged_at",
            ColumnType.TIMESTAMP,
            "When the run looked at what the table has of the slice; the newest row of a slice counts.",
            required=True,
        ),
        Column("error", ColumnType.STRING, "Why the slice is pending or failed."),
        Column(
            "period",
            ColumnType.STRING,
            "What the slice covers: day, week, month, year, or range for a rolling window. NULL for a day in rows of "
            "versions without periods.",
        ),
        Column(
            "segment_hash",
            ColumnType.STRING,
            "What the definition of the segment was, hashed (the first 16 characters of SHA-256); NULL for all visits.",
        ),
        Column(
            "is_open",
            ColumnType.BOOL,
            "Whether the day, or longer period, was not over when it was fetched: its rows are what Matomo had until "
            "then, and it is refetched. NULL in rows of older versions.",
        ),
        Column(
            "replaced_rows",
            ColumnType.INT64,
            "Rows that the slice had before, where the run found that Matomo had changed a final one; NULL otherwise.",
        ),
    ),
    # Status first: a filter on it leaves out the blocks of all the partitions that never had an open slice.
    clustering=("status", "connector", "table_name", "website_id"),
)
# One row a run, also where nothing changed: a quiet run adds no row to _sync_log. What hands a request on, and what
# runs a part of one, adds a row when it begins: without that nobody could tell how far the request is.
SYNC_RUNS = Schema(
    "_sync_runs",
    "One row for each run, whether it changed anything or not; of a run with a part of a request one more, from its "
    "beginning. Of a run's rows the last one counts. Appended, never changed.",
    (
        Column("date", ColumnType.DATE, "The day, in UTC, on which the run began.", required=True),
        Column("connector", ColumnType.STRING, "The connector that the run was for.", required=True),
        Column("matomo_url", ColumnType.STRING, "The Matomo that was synced.", required=True),
        Column("run_id", ColumnType.STRING, "The run.", required=True),
        Column("request_id", ColumnType.STRING, "What started the run (message, schedule).", required=True),
        Column("mode", ColumnType.STRING, "incremental, intraday, sweep, backfill or full_refresh.", required=True),
        Column(
            "status",
            ColumnType.STRING,
            "How the run ended, as its answer says it; running or handing_on in the row from its beginning.",
            required=True,
        ),
        Column("started_at", ColumnType.TIMESTAMP, "When the run began.", required=True),
        Column(
            "finished_at",
            ColumnType.TIMESTAMP,
            "When it had written everything; in the row from its beginning, when that was written.",
            required=True,
        ),
        Column("sites", ColumnType.INT64, "How many sites it was about.", required=True),
        Column("row_count", ColumnType.INT64, "Rows written.", required=True),
        Column("written", ColumnType.INT64, "Slices written.", required=True),
        Column("unchanged", ColumnType.INT64, "Slices that were the same.", required=True),
        Column("pending", ColumnType.INT64, "Slices that Matomo had not processed.", required=True),
        Column("failed", ColumnType.INT64, "Slices that failed.", required=True),
        Column("remaining", ColumnType.INT64, "Slices that were not handled for want of time.", required=True),
        Column("matomo_calls", ColumnType.INT64, "HTTP calls to Matomo, retries included.", required=True),
        Column("error", ColumnType.STRING, "The first sentence of what failed."),
        Column(
            "changed",
            ColumnType.INT64,
            "Final slices that Matomo had changed, which were written again; NULL in rows of older versions.",
        ),
        Column(
            "shard",
            ColumnType.INT64,
            "Which shard of the request the run was about; NULL for all of it.",
        ),
        Column("shards", ColumnType.INT64, "How many shards the request was split into; NULL where it was not."),
        Column(
            "continuation",
            ColumnType.INT64,
            "How many times the rest of the shard, or of the request, had been handed on before; NULL for all of it.",
        ),
        Column(
            "handed_on",
            ColumnType.STRING,
            "The parts of the request that the run published as messages, as JSON; NULL where it did not.",
        ),
        Column("about", ColumnType.STRING, "A hash of what the request is about: equal requests have the same."),
        Column(
            "next_job",
            ColumnType.STRING,
            "Where the next such run begins, as JSON (site, table, segment, day); NULL where there was time for all.",
        ),
    ),
    clustering=("connector",),
)
SYNC_STATE = "_sync_state"
SYNC_STATE_DESCRIPTION = "The newest row of each slice in _sync_log."
