"""Reconciliation: what the tables have, beside what Matomo counts; and which reports count each visit once."""

from enum import StrEnum

from matomo_fn.catalogue.marketing import ACQUISITION_REFERRER
from matomo_fn.catalogue.model import Column, ColumnType, Schema, Table

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
            "What was checked: pending_day, logged_rows, refetched_rows, summed_visits, others_share, exported_visits, "
            "exported_actions, truncated_visits, conversions or revenue (docs/quality.md).",
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
            "Why the verdict is not ok. Of explained: pending, late_archive, row_limit, unique_counts, part_of_visits, "
            "visits_log_off, report_off, visits_purged, reports_purged or visits_truncated. Of differs: changed_day, "
            "row_missing, row_added, row_doubled, value_changed, other_run, missing, failed, not_sampled or unknown. "
            "NULL where it is ok.",
        ),
        Column("detail", ColumnType.STRING, "A sentence: what differs, and what to do about it."),
        Column("run_id", ColumnType.STRING, "The run that checked.", required=True),
        Column("checked_at", ColumnType.TIMESTAMP, "When it was checked.", required=True),
    ),
    key=("date", "connector", "check_name", "table_name", "website_id", "segment"),
    clustering=("connector", "verdict", "table_name", "website_id"),
)


class Adds(StrEnum):
    """What the visits of all rows of a report and day add up to."""

    UP = "each visit is in one row"
    PART = "only some visits are in a row"
    MORE = "a visit is in as many rows as it has pages, events or searches"


# Recorded from one day of a Matomo 5.2 with 70 visits (recordings day_*): the rows of these added up to 70.
_UP = frozenset(
    (
        *(
            "VisitsSummary.get",
            "API.get",
            "MultiSites.getOne",
            "UserCountry.getCountry",
            "UserCountry.getRegion",
            "UserCountry.getCity",
        ),
        *("UserCountry.getContinent", "UserLanguage.getLanguage", "UserLanguage.getLanguageCode"),
        *("DevicesDetection.getType", "DevicesDetection.getBrand", "DevicesDetection.getModel"),
        *("DevicesDetection.getBrowsers", "DevicesDetection.getBrowserVersions", "DevicesDetection.getBrowserEngines"),
        *("DevicesDetection.getOsFamilies", "DevicesDetection.getOsVersions"),
        *("Resolution.getResolution", "Resolution.getConfiguration", "Referrers.getReferrerType"),
        *("VisitTime.getVisitInformationPerLocalTime", "VisitTime.getVisitInformationPerServerTime"),
        *("VisitorInterest.getNumberOfVisitsPerPage", "VisitorInterest.getNumberOfVisitsPerVisitDuration"),
        "VisitorInterest.getNumberOfVisitsByVisitCount",
    )
)
# Direct visits are in no row of these, or visits without a campaign, a user ID, a visit before.
_PART = frozenset(
    (
        *("Referrers.getAll", "Referrers.getCampaigns", "Referrers.getSearchEngines", "Referrers.getWebsites"),
        *("Referrers.getSocials", "Referrers.getKeywords", "UserId.getUsers"),
        "VisitorInterest.getNumberOfVisitsByDaysSinceLast",
    )
)
# Parameters that leave no row out.
_WHOLE = frozenset({"flat", "expanded", "showColumns", "hideColumns", "idGoal", "filter_truncate"})


def adds(table: Table) -> Adds:
    """Return what the visits of a table's rows of one day add up to, compared with VisitsSummary.get."""
    methods = {source.method for source in table.sources}
    if table.is_log or table.sources == ACQUISITION_REFERRER.sources:
        return Adds.UP
    if methods <= _UP:  # a custom report may take a part of its rows only
        parameters = {name for source in table.sources for name, _ in source.params}
        return Adds.UP if parameters <= _WHOLE else Adds.PART
    return Adds.PART if methods <= _PART else Adds.MORE


def visits_column(table: Table) -> str | None:
    """Return the column in which a table of reports has the visits of a row; None where it has none."""
    numbers = (ColumnType.INT64, ColumnType.FLOAT64, ColumnType.NUMERIC)
    found = (column.name for column in table.metrics if column.source == "nb_visits" and column.type in numbers)
    return next(found, None)
