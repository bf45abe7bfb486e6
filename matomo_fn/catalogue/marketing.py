"""The marketing tables: names and keys as QUANTI's published connector has them, so that its users can move over.

The descriptions of the metrics follow Matomo's archiving (core's LogAggregator and the plugins' RecordBuilders).
"""

from dataclasses import replace

from matomo_fn.catalogue.columns import amount, average, count, number, text
from matomo_fn.catalogue.model import Column, Source, Table

ENGAGEMENT = (
    count("visits", "nb_visits", "Visits."),
    count("users", "nb_uniq_visitors", "Unique visitors of the day; never to be summed over days."),
    count("actions", "nb_actions", "Actions: page views, downloads, outlinks, searches and events."),
    count("bounces", "bounce_count", "Visits with one action, or none (an order alone, for example)."),
    count("conversions", "nb_conversions", "Conversions of all goals and orders; abandoned carts are none."),
    count("converted_visits", "nb_visits_converted", "Visits with at least one conversion."),
    count("total_visit_length", "sum_visit_length", "Length of all visits together, in seconds."),
    amount(
        "revenue",
        "revenue",
        "Revenue of goals and orders, in the site's currency; that of abandoned carts is not in it.",
    ),
)


def _shown(columns: tuple[Column, ...]) -> str:
    """Return the fields that a report is requested with, beside those that it always has (label, url, segment).

    A page has some 60 fields. With those of the table alone an answer has a third of the bytes, and the same values
    (recordings m53_cols_urls_full and m53_cols_urls_show).
    """
    return ",".join(["label", *(column.source for column in columns)])


# The label of Referrers.getReferrerType under language=en, which every request sends.
_DIRECT = "Direct Entry"

# UserLanguage archives visits only: neither column is in any row of its report, so that 0 would be made up.
_WITHOUT_CONVERSIONS = tuple(
    replace(column, absent=None, description=f"NULL: the report of languages does not have Matomo's {column.source}.")
    if column.name in ("conversions", "revenue")
    else column
    for column in ENGAGEMENT
)

VISITOR_COUNTRY = Table(
    "visitor_country",
    "Visits by the visitor's country; one row a day, site and country.",
    (Source("UserCountry.getCountry"),),
    ENGAGEMENT,
    (
        text("country", "label", "The country's English name.", required=True),
        text(
            "country_code", "code", "The country's two-letter code (ISO 3166), in lower case; xx where it is unknown."
        ),
    ),
)
VISITOR_DEVICE_TYPE = Table(
    "visitor_device_type",
    "Visits by kind of device; one row a day, site and kind.",
    (Source("DevicesDetection.getType"),),
    ENGAGEMENT,
    (
        text(
            "device_type",
            "label",
            "The kind of device: Desktop, Smartphone, Tablet and so on.",
            required=True,
        ),
    ),
)
VISITOR_BROWSER = Table(
    "visitor_browser",
    "Visits by browser; one row a day, site and browser.",
    (Source("DevicesDetection.getBrowsers"),),
    ENGAGEMENT,
    (text("browser", "label", "The browser's name, without its version.", required=True),),
)
VISITOR_LANGUAGE = Table(
    "visitor_language",
    "Visits by the language of the browser; one row a day, site and language.",
    (Source("UserLanguage.getLanguage"),),
    _WITHOUT_CONVERSIONS,
    (text("language", "label", "The language's English name.", required=True),),
)
_PAGE_VIEWS = (
    count("pageviews", "nb_hits", "Page views."),
    count("unique_pageviews", "nb_visits", "Visits in which the page was viewed at least once."),
    count("entrances", "entry_nb_visits", "Visits that began on the page."),
    count("entry_actions", "entry_nb_actions", "Actions, on any page, of the visits that began on the page."),
    count("entry_bounces", "entry_bounce_count", "Visits that began on the page and had no other action."),
    count("exits", "exit_nb_visits", "Visits that ended on the page."),
    count(
        "total_time_spent",
        "sum_time_spent",
        "Time from the page's views to the next action of the same visit, in seconds, summed up; 0 for the last.",
    ),
    count(
        "visits_following_search",
        "nb_hits_following_search",
        "Views of the page right after a search on the site.",
    ),
)
BEHAVIOUR_PAGE = Table(
    "behaviour_page",
    "Page views by URL; one row a day, site and page.",
    (Source("Actions.getPageUrls", (("flat", "1"), ("showColumns", _shown(_PAGE_VIEWS)))),),
    _PAGE_VIEWS,
    (
        text("page_url", "url", "The page's URL (at most 1,024 characters).", fallback="label", required=True),
        text(
            "page_title",
            "",
            "The title seen most under the URL that day, from the visits log; NULL where visits are not synced.",
        ),
    ),
    titles_from="visits",
)
BEHAVIOUR_EVENT = Table(
    "behaviour_event",
    "Events by category; one row a day, site and category.",
    (Source("Events.getCategory"),),
    (
        count("events", "nb_events", "Events."),
        count(
            "unique_events",
            "nb_visits",
            "Visits with an event, counted for each action and name of the category, and summed up.",
        ),
        count("events_with_value", "nb_events_with_value", "Events that carried a value."),
        amount("event_value_sum", "sum_event_value", "Sum of the events' values."),
        average(
            "event_value_avg",
            "avg_event_value",
            "Average value of the events that carried one, rounded to 2 decimals by Matomo.",
        ),
    ),
    (text("event_category", "label", "The event's category.", required=True),),
)
ACQUISITION_CAMPAIGN = Table(
    "acquisition_campaign",
    "Visits that came by a campaign; one row a day, site and campaign. Conversions stand with what Matomo attributes "
    "them to, which may be an earlier visit's campaign.",
    (Source("Referrers.getCampaigns"),),
    ENGAGEMENT,
    (text("campaign_name", "label", "The campaign's name, in lower case as Matomo keeps it.", required=True),),
)
ACQUISITION_CHANNEL_TYPE = Table(
    "acquisition_channel_type",
    "Visits by channel; one row a day, site and channel. Conversions stand with the channel that Matomo attributes "
    "them to, which may be that of an earlier visit.",
    (Source("Referrers.getReferrerType"),),
    ENGAGEMENT,
    (
        text(
            "channel_type",
            "label",
            "The channel: Direct Entry, Search Engines, Websites and so on.",
            required=True,
        ),
        number("channel_type_id", "referrer_type", "The channel's number, which no translation changes."),
    ),
)


def _channel(method: str, label: str, since: tuple[int, int] = (0, 0)) -> Source:
    return Source(method, constants=(("referrer_type", label),), since=since)


ACQUISITION_REFERRER = Table(
    "acquisition_referrer",
    "Visits by referrer; one row a day, site, channel and referrer. Conversions stand with the referrer that Matomo "
    "attributes them to, which may be that of an earlier visit.",
    (
        Source(
            "Referrers.getReferrerType",
            only=("referrer_type", 1),
            constants=(("referrer_type", _DIRECT),),
        ),
        _channel("Referrers.getSearchEngines", "Search Engines"),
        _channel("Referrers.getWebsites", "Websites"),
        _channel("Referrers.getSocials", "Social Networks"),
        _channel("Referrers.getCampaigns", "Campaigns"),
        _channel("Referrers.getAIAssistants", "AI Assistants", since=(5, 5)),
    ),
    ENGAGEMENT,
    (
        text(
            "referrer",
            "label",
            "The search engine, website, social network, campaign or AI assistant.",
            required=True,
        ),
        text(
            "referrer_type",
            "",
            "The channel that the referrer belongs to, as in acquisition_channel_type.",
            required=True,
        ),
        text("referrer_url", "url", "The referrer's URL, where Matomo knows one."),
    ),
    key_dimensions=2,
)

MARKETING = (
    VISITOR_COUNTRY,
    VISITOR_DEVICE_TYPE,
    VISITOR_BROWSER,
    VISITOR_LANGUAGE,
    BEHAVIOUR_PAGE,
    BEHAVIOUR_EVENT,
    ACQUISITION_CAMPAIGN,
    ACQUISITION_CHANNEL_TYPE,
    ACQUISITION_REFERRER,
)
