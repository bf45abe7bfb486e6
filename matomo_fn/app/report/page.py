"""The page as one HTML text: the facts, compressed, with the style and the program that show them.

It loads nothing and may load nothing: its Content-Security-Policy allows the two styles and the two scripts that are
in it, by their hashes, and no request. What ships beside this module: ``page.html``, ``page.css`` and ``page.js`` of
our own, and uPlot, which draws the two charts (https://github.com/leeoniya/uPlot, MIT, see ``uplot.LICENSE``).
"""

import base64
import hashlib
import html
import json
import zlib
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from matomo_fn.app.day_calendar import DAYS, STATES, run_lengths
from matomo_fn.app.report.facts import RECENT_DAYS, Facts, day_index
from matomo_fn.redaction import redact, redact_value
from matomo_fn.values import utf8

# uPlot asks Intl for the browser's language, which Intl may not know: en-US@posix where the browser runs with LANG=C.
_KNOWN_LANGUAGE = (
    "try { Intl.getCanonicalLocales(navigator.language); } "
    'catch { Object.defineProperty(navigator, "language", { value: "en" }); }\n'
)
# Sentences that stand on the page; `status` prints all.
_SENTENCES = 100


def render(facts: Facts) -> str:
    """Return the page of some facts."""
    status = facts.status
    texts = {name: _file(name) for name in ("page.css", "page.js", "uplot.css", "uplot.js", "uplot.LICENSE")}
    texts["uplot.js"] = _KNOWN_LANGUAGE + texts["uplot.js"]
    styles, scripts = ("uplot.css", "page.css"), ("uplot.js", "page.js")
    policy = (
        f"default-src 'none'; style-src {' '.join(_hash(texts[name]) for name in styles)}; "
        f"script-src {' '.join(_hash(texts[name]) for name in scripts)}; base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=policy,
        connector=html.escape(status.connector),
        dataset=html.escape(facts.dataset),
        verdict="complete" if status.is_good else "partial",
        made=f"{facts.made:%Y-%m-%d %H:%M} UTC",
        last_run=html.escape(
            f"{status.last_run.started:%Y-%m-%d %H:%M} UTC, {status.last_run.status}" if status.last_run else "none yet"
        ),
        sentences=_sentences(facts),
        license=texts["uplot.LICENSE"],
        data=_packed(facts),
        uplot_css=texts["uplot.css"],
        page_css=texts["page.css"],
        uplot_js=texts["uplot.js"],
        page_js=texts["page.js"],
    )


def policy_of(page: str) -> str:
    """Return the Content-Security-Policy that a page has in it, for the header of an answer."""
    return page.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]


def _sentences(facts: Facts) -> str:
    """Return what is missing and what else is to be known, as lists that stand there without any program."""
    parts = []
    for title, kind, sentences in (
        ("What is missing", "problems", facts.status.problems),
        ("Notes", "notes", facts.status.notes),
    ):
        if sentences:
            items = "".join(f"<li>{html.escape(redact(text))}</li>" for text in sentences[:_SENTENCES])
            more = len(sentences) - _SENTENCES
            if more > 0:
                items += f"<li>And {more} more: see <code>matomo-fn status</code>.</li>"
            parts.append(f'<h3>{title}</h3><ul class="{kind}">{items}</ul>')
    return "".join(parts)


def _packed(facts: Facts) -> str:
    """Return what the page's program reads: JSON, by zlib, in base64, in which no tag can end."""
    text = json.dumps(_data(facts), ensure_ascii=False, separators=(",", ":"), default=str)
    return base64.b64encode(zlib.compress(utf8(text), 6)).decode()


def _data(facts: Facts) -> dict[str, Any]:
    status, calendar = facts.status, facts.status.calendar
    streams = [table.stream for table in status.tables]
    tables = _numbered(stream.table for stream in streams)
    sites = _numbered(
        site
        for some in (
            (stream.website_id for stream in streams),
            facts.visits.by_site if facts.visits else (),
            (row["website_id"] for row in facts.channels or ()),
        )
        for site in some
    )
    segments = _numbered(stream.segment for stream in streams)
    lines = _numbered(calendar.lines[stream] for stream in streams)
    return {
        "connector": status.connector,
        "first": calendar.first,
        "days": DAYS,
        "recent": RECENT_DAYS,
        "states": STATES,
        "tables": list(tables),
        "sites": [[site, redact(facts.site_names.get(site, ""))] for site in sites],
        "segments": list(segments),
        "lines": [run_lengths(line) for line in lines],
        "streams": {
            "table": [tables[stream.table] for stream in streams],
            "site": [sites[stream.website_id] for stream in streams],
            "segment": [segments[stream.segment] for stream in streams],
            "line": [lines[calendar.lines[stream]] for stream in streams],
            "rows": [table.rows for table in status.tables],
            "last": [day_index(calendar.first, table.last_day) for table in status.tables],
            "missing": [table.missing for table in status.tables],
            "logged": [int(table.last_logged.timestamp()) if table.last_logged else None for table in status.tables],
            "configured": [int(table.is_configured) for table in status.tables],
        },
        "visits": {
            "table": facts.visits.table,
            "sites": [sites[site] for site in facts.visits.by_site],
            "counts": list(facts.visits.by_site.values()),
        }
        if facts.visits
        else None,
        "channels": [
            [
                sites[row["website_id"]],
                redact(row["channel"] or ""),
                int(row["visits"] or 0),
                int(row["conversions"] or 0),
            ]
            for row in facts.channels
        ]
        if facts.channels is not None
        else None,
        "others": [
            [tables[row["table_name"]], sites[row["website_id"]], int(row["others"] or 0), int(row["total"])]
            for row in facts.others
            if row["table_name"] in tables and row["website_id"] in sites
        ],
        "runs": [redact_value(run.as_dict()) for run in facts.runs],
        "checks": redact_value({"counts": list(facts.checks.counts), "found": list(facts.checks.found)})
        if facts.checks
        else None,
    }


def _numbered(names: Any) -> dict[str, int]:
    """Return different names with their numbers, in the order in which they come."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
