"""What Matomo says of its reports (`API.getReportMetadata`): dimension, metrics, their kinds and texts.

Of an entry only what is named here is read. Its ``imageGraphUrl`` has the token in it.
"""

import html
import re
from collections.abc import Iterator, Mapping

from matomo_fn.catalogue.custom import Metric, ReportMetadata
from matomo_fn.errors import InvalidResponse
from matomo_fn.matomo.limits import MOST_REPORTS, refuse_long_list
from matomo_fn.values import utf8

METADATA = "API.getReportMetadata"
_TAG = re.compile(r"<[^<>]*>")  # from one < to the next at most: of thousands each would be searched to the end


def read_metadata(value: object) -> list[ReportMetadata]:
    """Return the reports of an answer, each once; reports of sub tables are left out.

    Raises InvalidResponse where the answer is no list of reports.
    """
    if not isinstance(value, list):
        raise InvalidResponse(f"{METADATA} answers no list of reports")
    refuse_long_list(METADATA, value, MOST_REPORTS)
    reports = {}
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(key), str) for key in ("module", "action")):
            raise InvalidResponse(f"{METADATA}: entry {index + 1} has no module and action")
        if not entry.get("isSubtableReport"):
            report = _report(entry)
            reports[(report.method, report.params)] = report
    return list(reports.values())


def _report(entry: Mapping[str, object]) -> ReportMetadata:
    parameters = entry.get("parameters")
    params = parameters.items() if isinstance(parameters, Mapping) else ()
    return ReportMetadata(
        f"{entry['module']}.{entry['action']}",
        tuple((str(key), str(value)) for key, value in params),
        _text(entry.get("name")),
        _text(entry.get("category")),
        _text(entry.get("dimension")),
        _text(entry.get("documentation")),
        tuple(_metrics(entry)),
    )


def _metrics(entry: Mapping[str, object]) -> Iterator[Metric]:
    """Yield the metrics of an entry, also those that rows have by their goals; each once."""
    documentation = _texts(entry.get("metricsDocumentation"))
    kinds = _texts(entry.get("metricTypes")) | _texts(entry.get("metricTypesGoal"))
    seen = set()
    for key in ("metrics", "processedMetrics", "metricsGoal", "processedMetricsGoal"):
        for name, title in _texts(entry.get(key)).items():
            if name not in seen:
                seen.add(name)
                is_processed = key.startswith("processed")
                yield Metric(name, title, documentation.get(name, ""), kinds.get(name, ""), is_processed)


def _texts(value: object) -> dict[str, str]:
    """Return the texts of an object; PHP writes an empty one as a list, and `false` where there is none."""
    return {str(key): _text(item) for key, item in value.items()} if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    """Return a text of Matomo's, which may be HTML, in one line."""
    if not isinstance(value, str):
        return ""
    return " ".join(utf8(html.unescape(_TAG.sub(" ", value))).decode().split())
