"""The filters applied to every report: order, paging, columns, number formats."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from fake_matomo.language import Language
from fake_matomo.php import clock_seconds, pretty_money, pretty_seconds
from fake_matomo.tallies import Row

# API_datatable_default_limit: the limit of a request without one.
DEFAULT_LIMIT = 100

# Metadata, not columns: `showColumns` and `hideColumns` do not apply.
METADATA = frozenset(
    {
        "Actions_ClickedUrl",
        "Actions_DownloadUrl",
        "Actions_EntryPageTitle",
        "Actions_EntryPageUrl",
        "Actions_ExitPageTitle",
        "Actions_ExitPageUrl",
        "Actions_PageTitle",
        "Actions_PageUrl",
        "CustomDimension_CustomDimension2",
        "DevicesDetection_DeviceType",
        "Events_EventAction",
        "Events_EventCategory",
        "Events_EventName",
        "Referrers_Campaign",
        "Referrers_Keyword",
        "Referrers_Referrer",
        "Referrers_SearchEngine",
        "Referrers_SocialNetwork",
        "Referrers_Website",
        "Referrers_WebsitePage",
        "UserCountry_Country",
        "UserLanguage_Language",
        "code",
        "idsubdatatable",
        "logo",
        "logoHeight",
        "referer_type",
        "referrer_type",
        "segment",
        "url",
    }
)


@dataclass(frozen=True, slots=True)
class Filters:
    """The parameters that filter and format an answer."""

    flat: bool
    limit: int
    offset: int
    pattern: str | None
    sort_column: str | None
    ascending: bool
    keep_summary_row: bool
    truncate: int | None
    show: frozenset[str]
    hide: frozenset[str]
    format_metrics: str | None
    hide_sub_tables: bool

    @classmethod
    def parse(cls, params: Mapping[str, str], default_limit: int = DEFAULT_LIMIT) -> Self:
        """Parse them; a limit that is not a number counts as not given, any negative one as no limit."""
        return cls(
            flat=params.get("flat") == "1",
            limit=parse_limit(params.get("filter_limit"), default_limit),
            offset=max(0, parse_int(params.get("filter_offset"), 0)),
            pattern=params.get("filter_pattern") or None,
            sort_column=params.get("filter_sort_column") or None,
            ascending=params.get("filter_sort_order") == "asc",
            keep_summary_row=params.get("keep_summary_row") == "1",
            truncate=parse_int(params.get("filter_truncate"), -1) if "filter_truncate" in params else None,
            show=names(params.get("showColumns") or params.get("columns")),
            hide=names(params.get("hideColumns")),
            format_metrics=params.get("format_metrics"),
            hide_sub_tables=params.get("hideIdSubDatable") == "1",
        )


def names(text: str | None) -> frozenset[str]:
    """Split a comma-separated list of names."""
    return frozenset(part for part in (text or "").split(",") if part)


def parse_int(text: str | None, otherwise: int) -> int:
    """Parse an integer, with a fallback."""
    try:
        return int(text or "")
    except ValueError:
        return otherwise


def parse_limit(text: str | None, default: int = DEFAULT_LIMIT) -> int:
    """Parse a limit; -1 is all rows."""
    return max(-1, parse_int(text, default))


def paged(items: list[Row], limit: int, offset: int) -> list[Row]:
    """Return one page of the list."""
    return items[offset:] if limit < 0 else items[offset : offset + limit]


@dataclass(frozen=True, slots=True)
class Style:
    """How the rows of a report are sorted, cut and formatted.

    `sort_column` is the default sort column; None keeps the rows in their order. `metadata` are the fields that are
    not columns. `percents` are the columns that are ratios, `money` and `all_money` those that are amounts in
    `currency`: the former are formatted with `format_metrics` 1 and all, the latter with all only.
    """

    sort_column: str | None = "nb_visits"
    metadata: frozenset[str] = METADATA
    percents: frozenset[str] = frozenset({"bounce_rate", "exit_rate"})
    money: frozenset[str] = frozenset()
    all_money: frozenset[str] = frozenset()
    currency: str = ""


PLAIN = Style()


def sorted_rows(rows: list[Row], filters: Filters, usual: str | None = "nb_visits") -> list[Row]:
    """Sort rows by the given or the report's usual column, highest first; ties by label."""
    column = filters.sort_column or usual
    if column is None:
        return rows
    if column == "label":
        return sorted(rows, key=_label, reverse=not filters.ascending)
    by_label = sorted(rows, key=_label)
    return sorted(by_label, key=lambda row: _number(row.get(column)), reverse=not filters.ascending)


def finish_rows(
    rows: list[Row], others: Row | None, filters: Filters, language: Language, style: Style = PLAIN
) -> list[Row]:
    """Sort and page rows and keep the requested columns; "Others" stays last."""
    if filters.pattern:
        # Matomo's patterns are case-insensitive PCRE; an invalid one matches nothing.
        try:
            match: Callable[[str], object] = re.compile(filters.pattern, re.IGNORECASE).search
        except re.error:
            return []
        rows = [row for row in rows if match(str(row["label"]))]
        others = others if others and match(str(others["label"])) else None
    rows = sorted_rows(rows, filters, style.sort_column)
    if others is not None and not filters.keep_summary_row:
        rows.append(others)
    rows = paged(rows, filters.limit, filters.offset)
    if others is not None and filters.keep_summary_row:
        rows.append(others)
    return [formatted(columns(row, filters, style), filters, language, style) for row in rows]


def columns(row: Row, filters: Filters, style: Style = PLAIN) -> Row:
    """Keep the requested columns of a row, and its metadata."""
    show, hide = filters.show, filters.hide
    if show:
        row = {key: value for key, value in row.items() if key in show or key == "label" or key in style.metadata}
    if hide:
        row = {key: value for key, value in row.items() if key not in hide or key in style.metadata}
    if filters.hide_sub_tables:
        row.pop("idsubdatatable", None)
    return row


def formatted(row: Row, filters: Filters, language: Language, style: Style = PLAIN) -> Row:
    """Format ratios as percentages, unless raw numbers were requested."""
    asked = filters.format_metrics
    if asked == "0":
        return row
    for key in row.keys() & style.percents:
        row[key] = language.percent(_number(row[key]), _digits(key))
    if asked not in ("1", "all"):
        return row
    for key in row:
        write = _PRETTY.get(key.removesuffix("_new").removesuffix("_returning"))
        if write:
            row[key] = write(_number(row[key]))
        elif key in style.money or (asked == "all" and key in style.all_money):
            row[key] = pretty_money(style.currency, _number(row[key]))
    return row


def _digits(percentage: str) -> int:
    """Return the number of decimals of a percentage."""
    if percentage.startswith("conversion_rate"):
        return 2
    return 1 if percentage.endswith("_evolution") else 0


def _seconds(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") + "s"


_PRETTY: Mapping[str, Callable[[float], str]] = {
    "avg_time_on_site": lambda value: pretty_seconds(int(value)),
    "avg_time_on_page": lambda value: clock_seconds(int(value)),
    "avg_page_load_time": _seconds,
    "avg_time_network": _seconds,
    "avg_time_server": _seconds,
    "avg_time_transfer": _seconds,
    "avg_time_dom_processing": _seconds,
    "avg_time_dom_completion": _seconds,
    "avg_time_on_load": _seconds,
}


def _label(row: Row) -> str:
    return str(row["label"]).lower()


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def one_column(filters: Filters, row: Iterable[str]) -> str | None:
    """Return the column that a one-row report collapses to, if exactly one was requested."""
    asked = filters.show & set(row)
    return next(iter(asked)) if len(asked) == 1 else None
