"""Who may call Matomo: the runs of a connector share what it may be called, by a table."""

from matomo_fn.catalogue.model import Column, ColumnType, Schema

SYNC_LEASES = Schema(
    "_sync_leases",
    "One row for each change in which run of a connector holds which part of its calls to Matomo. Appended, never "
    "changed; rows older than two days are deleted.",
    (
        Column("date", ColumnType.DATE, "The day of written_at, in UTC.", required=True),
        Column("connector", ColumnType.STRING, "The connector whose calls are shared.", required=True),
        Column("run_id", ColumnType.STRING, "The run.", required=True),
        Column(
            "step", ColumnType.INT64, "The number of the row among those of the run; the newest counts.", required=True
        ),
        Column(
            "status",
            ColumnType.STRING,
            "held: the run holds the slots; waiting: it holds none, and waits for one; released: it needs none.",
            required=True,
        ),
        Column("slots", ColumnType.STRING, "The slots that the run holds, as a JSON list.", required=True),
        Column(
            "used",
            ColumnType.STRING,
            "By slot, how many seconds ago it was called, in the last minute, as JSON: lists of seconds and calls, all "
            "and those of Live methods.",
            required=True,
        ),
        Column(
            "calls_ahead",
            ColumnType.INT64,
            "How many calls of each slot the run may make before its next row; NULL for any number.",
        ),
        Column(
            "limits",
            ColumnType.STRING,
            "concurrency, requests_per_minute and live_requests_per_minute, which the slots divide.",
            required=True,
        ),
        Column("is_shard", ColumnType.BOOL, "Whether the run is one of several parts of a request.", required=True),
        Column("started_at", ColumnType.TIMESTAMP, "When the run began.", required=True),
        Column(
            "written_at", ColumnType.TIMESTAMP, "When the row was written, by the warehouse's clock.", required=True
        ),
        Column(
            "expires_at",
            ColumnType.TIMESTAMP,
            "When the row holds no longer, unless there is a newer one: the run is gone.",
            required=True,
        ),
    ),
    clustering=("connector",),
    retention_days=2,
)
