"""The summary tables: columns bear Matomo's own field names, all the fields of the method."""

from matomo_fn.catalogue.columns import amount, average, bound, count, document, number, text
from matomo_fn.catalogue.model import Column, ColumnType, Source, Table

_VISIT_COUNTS = (
    count("nb_uniq_visitors", "nb_uniq_visitors", "Unique visitors of the day; never to be summed over days."),
    count("nb_visits", "nb_visits", "Visits."),
    count("nb_actions", "nb_actions", "Actions: page views, downloads, outlinks, searches and events."),
    count("nb_users", "nb_users", "Different user IDs that the site gave to its visitors."),
    bound("max_actions", "max_actions", "Actions of the visit that had most."),
    count("sum_visit_length", "sum_visit_length", "Length of all visits together, in seconds."),
    count("bounce_count", "bounce_count", "Visits with one action, or none (an order alone, for example)."),
    count("nb_visits_converted", "nb_visits_converted", "Visits with at least one conversion."),
)
_CONVERSIONS = (
    count("nb_conversions", "nb_conversions", "Conversions of all goals and orders; abandoned carts are none."),
    amount(
        "revenue",
        "revenue",
        "Revenue of goals and orders, in the site's currency; that of abandoned carts is not in it.",
    ),
    document(
        "goals",
        "goals",
        "Conversions and revenue by goal, order and abandoned cart, as Matomo answers them (keys: idgoal=N, "
        "idgoal=ecommerceOrder, idgoal=ecommerceAbandonedCart).",
    ),
)

VISITS_SUMMARY = Table(
    "visits_summary",
    "The day's visits in one row a day and site.",
    (Source("VisitsSummary.get"),),
    (
        *_VISIT_COUNTS,
        average(
            "bounce_rate",
            "bounce_rate",
            "Share of visits with one action or none (0 to 1), rounded to 2 decimals by Matomo.",
        ),
        average("nb_actions_per_visit", "nb_actions_per_visit", "Actions per visit, rounded to 1 decimal by Matomo."),
        average("avg_time_on_site", "avg_time_on_site", "Average length of a visit, in whole seconds."),
    ),
)
ACTIONS_SUMMARY = Table(
    "actions_summary",
    "The day's actions in one row a day and site.",
    (Source("Actions.get"),),
    (
        count("nb_pageviews", "nb_pageviews", "Page views."),
        count("nb_uniq_pageviews", "nb_uniq_pageviews", "Visits of each page, summed up over the pages."),
        count("nb_downloads", "nb_downloads", "Downloads."),
        count("nb_uniq_downloads", "nb_uniq_downloads", "Visits that downloaded a file, summed up over the files."),
        count("nb_outlinks", "nb_outlinks", "Clicks on links to other sites."),
        count(
            "nb_uniq_outlinks",
            "nb_uniq_outlinks",
            "Visits that clicked a link to another site, summed up over the links.",
        ),
        count("nb_searches", "nb_searches", "Searches on the site."),
        count("nb_keywords", "nb_keywords", "Different keywords searched for on the site."),
    ),
)
REFERRERS = Table(
    "referrers",
    "All referrers of all channels; one row a day, site and referrer. Conversions stand with the referrer that Matomo "
    "attributes them to, which may be that of an earlier visit.",
    (Source("Referrers.getAll", ranges=False),),
    (*_VISIT_COUNTS, *_CONVERSIONS),
    (
        text("label", "label", "The referrer: keyword, website, social network or campaign.", required=True),
        # 0 where Matomo has none: a NULL in a key compares with nothing.
        Column(
            "referer_type",
            ColumnType.INT64,
            'The channel\'s number: 1 direct, 2 search, 3 website, 6 campaign, 7 social; 0 for "Others", which sums up '
            "several channels. Matomo's referer_type.",
            source="referer_type",
            required=True,
            absent=0,
        ),
        text("url", "url", "The referrer's URL, where Matomo knows one."),
        text("logo", "logo", "Path of the referrer's icon on the Matomo server."),
        text("segment_definition", "segment", "The segment of the row's visits, in Matomo's segment language."),
    ),
    key_dimensions=2,
)
COUNTRIES = Table(
    "countries",
    "Visits by country with Matomo's own field names; one row a day, site and country.",
    (Source("UserCountry.getCountry"),),
    (*_VISIT_COUNTS, *_CONVERSIONS),
    (
        text("label", "label", "The country's English name.", required=True),
        text("code", "code", "The country's two-letter code (ISO 3166), in lower case; xx where it is unknown."),
        text("logo", "logo", "Path of the country's flag on the Matomo server."),
        number("logoHeight", "logoHeight", "Height of the flag in pixels."),
        text("segment_definition", "segment", "The segment of the row's visits, in Matomo's segment language."),
    ),
)

SUMMARY = (VISITS_SUMMARY, ACTIONS_SUMMARY, REFERRERS, COUNTRIES)
