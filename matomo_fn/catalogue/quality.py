"""Reconciliation: what the tables have, beside what Matomo counts."""

from matomo_fn.catalogue.model import Column, ColumnType, Schema

SYNC_QUALITY = Schema(
    "_sync_quality",
    "One row for each check of a table, site, segment and day: what Matomo counts, what the table has, and why they "
    "differ. A check that is made again replaces its row.",
    (
        Column("date", ColumnType.DATE, "The day that was checked (in the site's time zone).", required=True),
        Column("connector", ColumnType.STRING, "The connector that the check was for.", required=True),
        Column(
            "check_name",
            ColumnType.STRING,
            "What was checked: dimension_visits, exported_visits, exported_actions, truncated_visits, others_share, "
            "conversions, revenue, refetched_rows, logged_rows or pending_day.",
            required=True,
        ),
        Column("table_name", ColumnType.STRING, "The table that was checked.", required=True),
        Column("website_id", ColumnType.STRING, "The site: Matomo's idSite.", required=True),
        Column(
            "segment",
            ColumnType.STRING,
            "The name of the segment; the empty string stands for all visits.",
            required=True,
        ),
        Column("expected", ColumnType.FLOAT64, "What Matomo counts; NULL where it counts nothing of the kind."),
        Column("found", ColumnType.FLOAT64, "What the table has; NULL where that could not be counted."),
        Column("difference", ColumnType.FLOAT64, "found less expected; NULL where one of them is NULL."),
        Column(
            "verdict",
            ColumnType.STRING,
            "ok: within the check's tolerance; explained: outside it, and reason is a known one; differs: the table "
            "does not have Matomo's numbers.",
            required=True,
        ),
        Column(
            "reason",
            ColumnType.STRING,
            "Why the verdict is not ok. Of explained: late_archive, row_limit, unique_counts, visits_log_off, "
            "visits_purged, sampled, pending. Of differs: see docs/quality.md. NULL where it is ok.",
        ),
        Column("detail", ColumnType.STRING, "A sentence: what differs, and what to do about it."),
        Column("run_id", ColumnType.STRING, "The run that checked.", required=True),
        Column("checked_at", ColumnType.TIMESTAMP, "When it was checked.", required=True),
    ),
    key=("date", "connector", "check_name", "table_name", "website_id", "segment"),
    clustering=("connector", "verdict", "table_name", "website_id"),
)
