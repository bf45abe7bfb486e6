"""Reference tables: what Matomo is set up as, to join reports and visits with. They have no days, only what is now.

Who created something, e-mail addresses, excluded IP addresses and tokens are in none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from matomo_fn.catalogue.columns import average, document, text
from matomo_fn.catalogue.model import Column, ColumnType, Schema


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """A table of settings; ``key`` are the first of its columns.

    ``method`` lists the rows: of a site where ``of_site``, else of all sites at once. Each row is stamped with the
    connector that wrote it, whether Matomo still lists it, and the hash that tells whether it changed.
    """

    name: str
    description: str
    method: str
    columns: tuple[Column, ...]
    key_columns: int
    of_site: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the columns that identify a row."""
        return tuple(column.name for column in self.columns[: self.key_columns])

    @property
    def schema(self) -> Schema:
        """The table as the warehouse has it."""
        return Schema(self.name, self.description, (*self.columns, *REFERENCE_STAMPS), self.key, partitioned=False)

    @property
    def staged(self) -> tuple[Column, ...]:
        """The columns that are loaded; the other stamps are written by the merge."""
        return (*self.columns, CONTENT_HASH, IS_DELETED)


CONTENT_HASH = Column(
    "_content_hash", ColumnType.STRING, "SHA-256 of what Matomo answered; the row is written when it changes."
)
IS_DELETED = Column(
    "_is_deleted", ColumnType.BOOL, "Whether Matomo lists it no longer; the row has what it said last.", required=True
)
REFERENCE_STAMPS = (
    CONTENT_HASH,
    IS_DELETED,
    Column("_deleted_at", ColumnType.TIMESTAMP, "When a run first found that Matomo lists it no longer."),
    Column("_connector", ColumnType.STRING, "The connector that wrote the row.", required=True),
    Column("_synced_at", ColumnType.TIMESTAMP, "When the row was last written.", required=True),
    Column("_run_id", ColumnType.STRING, "The run that wrote the row.", required=True),
)


def _flag(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.BOOL, f"{description} Matomo's {source}.", source=source)


def _moment(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.TIMESTAMP, f"{description} Matomo's {source}.", source=source)


def _id(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.INT64, f"{description} Matomo's {source}.", source=source, required=True)


_SITE = text("website_id", "idsite", "The site.", required=True)

SITES = ReferenceTable(
    "sites",
    "The sites that the connector syncs, as they are set up now; one row a site.",
    "SitesManager.getSitesWithAtLeastViewAccess",
    (
        _SITE,
        text("name", "name", "The site's name."),
        text("main_url", "main_url", "The site's main URL."),
        text("site_group", "group", "The group that the site belongs to; '' where it has none."),
        text("type", "type", "website, mobileapp, intranet and so on."),
        text("time_zone", "timezone", "The time zone that the site's days are in."),
        text("currency", "currency", "The currency of the site's amounts (ISO 4217)."),
        text("currency_name", "currency_name", "The currency's English name."),
        _moment("created_at", "ts_created", "When the site was created, or from when on it has data."),
        _flag("has_ecommerce", "ecommerce", "Whether the site has orders and carts."),
        _flag("has_site_search", "sitesearch", "Whether searches on the site are tracked."),
        text("search_parameters", "sitesearch_keyword_parameters", "URL parameters that hold a search; '': default."),
        text("search_category_parameters", "sitesearch_category_parameters", "URL parameters that hold its category."),
    ),
    1,
    of_site=False,
)
GOALS_OF_SITES = ReferenceTable(
    "goals",
    "The goals of the sites, as they are defined now; one row a site and goal.",
    "Goals.getGoals",
    (
        _SITE,
        _id("goal_id", "idgoal", "The goal's number within its site."),
        text("name", "name", "The goal's name."),
        text("description", "description", "What somebody wrote about the goal."),
        text("match_attribute", "match_attribute", "What triggers it: url, title, file, event_action, manually…"),
        text("pattern", "pattern", "What the attribute is compared with; NULL where the goal is triggered manually."),
        text("pattern_type", "pattern_type", "How it is compared: contains, exact or regex."),
        _flag("is_case_sensitive", "case_sensitive", "Whether upper and lower case differ."),
        _flag("allows_multiple", "allow_multiple", "Whether a visit can convert the goal more than once."),
        average("revenue", "revenue", "Revenue of a conversion by default, in the site's currency."),
        _flag("uses_event_value", "event_value_as_revenue", "Whether the value of an event is the revenue."),
    ),
    2,
)
CUSTOM_DIMENSIONS = ReferenceTable(
    "custom_dimensions",
    "The custom dimensions of the sites, as they are set up now; one row a site and dimension. The number N of a "
    "dimension in reports and visits is dimension_id.",
    "CustomDimensions.getConfiguredCustomDimensions",
    (
        _SITE,
        _id("dimension_id", "idcustomdimension", "The dimension's number, as in dimensionN."),
        text("name", "name", "The dimension's name."),
        text("scope", "scope", "visit or action."),
        Column(
            "scope_index",
            ColumnType.INT64,
            "The dimension's place among those of its scope. Matomo's index.",
            source="index",
        ),
        _flag("is_active", "active", "Whether values are tracked."),
        _flag("is_case_sensitive", "case_sensitive", "Whether upper and lower case differ in extractions."),
        document("extractions", "extractions", "From which URL parameters or patterns values are taken."),
    ),
    2,
)
SEGMENTS = ReferenceTable(
    "segments",
    "The segments that are saved in Matomo and that the token's user may see; one row a segment.",
    "SegmentEditor.getAll",
    (
        Column("matomo_url", ColumnType.STRING, "The Matomo that has the segment.", required=True),
        _id("segment_id", "idsegment", "The segment's number in that Matomo."),
        text("name", "name", "The segment's name."),
        text("definition", "definition", "The segment, in Matomo's segment language."),
        text("website_id", "enable_only_idsite", "The only site that it is for; NULL where it is for all."),
        _flag("is_archived", "auto_archive", "Whether its reports are archived by schedule; else only on demand."),
        _flag("is_shared", "enable_all_users", "Whether all users see it, or only who created it."),
        _moment("created_at", "ts_created", "When it was created."),
        _moment("edited_at", "ts_last_edit", "When it was last edited; NULL where it never was."),
    ),
    2,
    of_site=False,
)

# In the order in which they are shown.
REFERENCE_TABLES: Mapping[str, ReferenceTable] = {
    table.name: table for table in (SITES, GOALS_OF_SITES, CUSTOM_DIMENSIONS, SEGMENTS)
}
