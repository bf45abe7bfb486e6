"""Further tables of what visitors do on a site: pages they enter and leave by, titles, links, searches, events."""

from matomo_fn.catalogue.columns import average, count, text
from matomo_fn.catalogue.marketing import BEHAVIOUR_EVENT
from matomo_fn.catalogue.model import Source, Table

_PAGE_COUNTS = (
    count("pageviews", "nb_hits", "Page views."),
    count("unique_pageviews", "nb_visits", "Visits in which the page was viewed at least once."),
)
_TIME = count(
    "total_time_spent",
    "sum_time_spent",
    "Time from the page's views to the next action of the same visit, in seconds, summed up; 0 for the last.",
)
_ENTRIES = (
    count("entrances", "entry_nb_visits", "Visits that began on the page."),
    count("entry_actions", "entry_nb_actions", "Actions, on any page, of the visits that began on the page."),
    count("entry_bounces", "entry_bounce_count", "Visits that began on the page and had no other action."),
)
_ENTRY_LENGTH = count(
    "entry_visit_length", "entry_sum_visit_length", "Length of the visits that began on the page, in seconds."
)
_EXITS = count("exits", "exit_nb_visits", "Visits that ended on the page.")
_PAGE_URL = text("page_url", "url", "The page's URL (at most 1,024 characters).", fallback="label", required=True)


def _shown(method: str, *columns: str) -> Source:
    """Return a flat report with these columns alone: pages have some sixty, and showColumns loses none of the named."""
    return Source(method, (("flat", "1"), ("showColumns", ",".join(("label", *columns)))))


BEHAVIOUR_ENTRY_PAGE = Table(
    "behaviour_entry_page",
    "Pages that visits began on, by URL; one row a day, site and page.",
    (
        _shown(
            "Actions.getEntryPageUrls",
            "entry_nb_visits",
            "entry_nb_actions",
            "entry_bounce_count",
            "entry_sum_visit_length",
            "nb_hits",
            "nb_visits",
        ),
    ),
    (*_ENTRIES, _ENTRY_LENGTH, *_PAGE_COUNTS),
    (_PAGE_URL,),
)
BEHAVIOUR_EXIT_PAGE = Table(
    "behaviour_exit_page",
    "Pages that visits ended on, by URL; one row a day, site and page.",
    (_shown("Actions.getExitPageUrls", "exit_nb_visits", "nb_hits", "nb_visits"),),
    (_EXITS, *_PAGE_COUNTS),
    (_PAGE_URL,),
)
BEHAVIOUR_PAGE_TITLE = Table(
    "behaviour_page_title",
    "Page views by title; one row a day, site and title.",
    (
        _shown(
            "Actions.getPageTitles",
            "nb_hits",
            "nb_visits",
            "entry_nb_visits",
            "entry_nb_actions",
            "entry_bounce_count",
            "exit_nb_visits",
            "sum_time_spent",
        ),
    ),
    (*_PAGE_COUNTS, *_ENTRIES, _EXITS, _TIME),
    (text("page_title", "label", "The page's title (at most 1,024 characters).", required=True),),
)


def _links(name: str, method: str, what: str, action: str) -> Table:
    return Table(
        name,
        f"{what}, by URL; one row a day, site and URL.",
        (Source(method, (("flat", "1"),)),),
        (
            count(action, "nb_hits", f"{action.capitalize()}."),
            count(f"unique_{action}", "nb_visits", f"Visits with at least one of these {action}."),
        ),
        (text("url", "url", "The URL (at most 1,024 characters).", fallback="label", required=True),),
    )


BEHAVIOUR_DOWNLOAD = _links("behaviour_download", "Actions.getDownloads", "Downloads", "downloads")
BEHAVIOUR_OUTLINK = _links("behaviour_outlink", "Actions.getOutlinks", "Clicks on links to other sites", "clicks")


def _searches(name: str, method: str, what: str) -> Table:
    return Table(
        name,
        f"{what}; one row a day, site and keyword.",
        (Source(method),),
        (
            count("searches", "nb_hits", "Searches for the keyword."),
            count("visits", "nb_visits", "Visits that searched for the keyword."),
            count("exits", "exit_nb_visits", "Visits that ended after a search for the keyword."),
            _TIME_ON_RESULTS,
            average("pages_per_search", "nb_pages_per_search", "Result pages viewed per search."),
        ),
        (text("search_keyword", "label", "What was searched for, in lower case.", required=True),),
    )


_TIME_ON_RESULTS = count(
    "total_time_spent", "sum_time_spent", "Time from the searches to the next action of the visit, in seconds."
)
BEHAVIOUR_SEARCH = _searches("behaviour_search", "Actions.getSiteSearchKeywords", "Searches on the site by keyword")
BEHAVIOUR_SEARCH_NO_RESULT = _searches(
    "behaviour_search_no_result",
    "Actions.getSiteSearchNoResultKeywords",
    "Keywords that found nothing on the site at least once that day; the numbers are of all searches for them",
)
BEHAVIOUR_SEARCH_CATEGORY = Table(
    "behaviour_search_category",
    "Searches on the site by the category that was searched in; one row a day, site and category.",
    (Source("Actions.getSiteSearchCategories"),),
    (
        count("searches", "nb_actions", "Searches in the category."),
        count("visits", "nb_visits", "Visits that searched in the category."),
        average("pages_per_search", "nb_pages_per_search", "Result pages viewed per search."),
    ),
    (text("search_category", "label", "The category.", required=True),),
)


def _events(name: str, method: str, dimension: str) -> Table:
    column = f"event_{dimension}"
    return Table(
        name,
        f"Events by {dimension}; one row a day, site and {dimension}.",
        (Source(method),),
        (
            *(column for column in BEHAVIOUR_EVENT.metrics if column.name != "unique_events"),
            count(
                "unique_events",
                "nb_visits",
                "Visits with an event, counted for each category, action and name, and summed up.",
            ),
        ),
        (text(column, "label", f"The event's {dimension}.", required=True),),
    )


BEHAVIOUR_EVENT_ACTION = _events("behaviour_event_action", "Events.getAction", "action")
BEHAVIOUR_EVENT_NAME = _events("behaviour_event_name", "Events.getName", "name")
_STEPS = {
    "network": "to reach the server",
    "server": "of the server to make the page",
    "transfer": "of the page's transfer",
    "dom_processing": "of the browser to read the page",
    "dom_completion": "of the browser to load images and scripts",
    "on_load": "of scripts that run when the page is loaded",
}
PAGE_PERFORMANCE = Table(
    "page_performance",
    "How long pages took to load; one row a day and site.",
    (Source("PagePerformance.get"),),
    (
        *(
            average(f"avg_time_{step}", f"avg_time_{step}", f"Average time {what}, in seconds; 0 on a day without any.")
            for step, what in _STEPS.items()
        ),
        average("avg_page_load_time", "avg_page_load_time", "The sum of these averages, in seconds."),
    ),
)

BEHAVIOUR = (
    BEHAVIOUR_ENTRY_PAGE,
    BEHAVIOUR_EXIT_PAGE,
    BEHAVIOUR_PAGE_TITLE,
    BEHAVIOUR_DOWNLOAD,
    BEHAVIOUR_OUTLINK,
    BEHAVIOUR_SEARCH,
    BEHAVIOUR_SEARCH_NO_RESULT,
    BEHAVIOUR_SEARCH_CATEGORY,
    BEHAVIOUR_EVENT_ACTION,
    BEHAVIOUR_EVENT_NAME,
    PAGE_PERFORMANCE,
)
