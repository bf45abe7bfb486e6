"""A Matomo that answers what a real one was recorded to answer: one site, one day, every report of it."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.support.recordings import Recording, all_recordings, read

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = date(2026, 11, 12)
ZONE = "Europe/Paris"
_IDENTIFY = ("idGoal", "idDimension", "flat")
_ERROR = {"result": "error", "message": "The method does not exist or is not available."}

# A call: the method, and those of its parameters that make it another report.
Call = tuple[str, tuple[tuple[str, str], ...]]


def call_of(method: str, params: Mapping[str, str]) -> Call:
    """What identifies the report that is asked for."""
    return method, tuple((name, str(params[name])) for name in _IDENTIFY if name in params)


@cache
def recorded_reports(start: str = "day_") -> dict[Call, Recording]:
    """The recordings of reports of one day, by what was asked."""
    return {call_of(found.method, found.params): found for found in all_recordings() if found.name.startswith(start)}


class RecordedMatomo:
    """Answers a client's calls from recordings; ``replaced`` are answers in place of recorded ones."""

    def __init__(self, *, flat: bool = False) -> None:
        """Know the recordings of every report, with ``flat`` also those of flattened ones."""
        self._recorded = recorded_reports() | (recorded_reports("flat_") if flat else {})
        self.replaced: dict[Call, Any] = {}

    def __call__(self, method: str, form: Mapping[str, str]) -> Any:
        """Answer one call."""
        match method:
            case "API.getMatomoVersion":
                return {"value": "5.2.0"}
            case "SitesManager.getSitesWithAtLeastViewAccess":
                return [{"idsite": 1, "name": "Shop", "timezone": ZONE, "ts_created": f"{DAY} 00:00:00"}]
            case "API.getReportMetadata":
                return json.loads(read("meta_API.getReportMetadata_site1.json").body)
            case "API.getBulkRequest":
                inner = [dict(parse_qsl(form[key])) for key in sorted(form, key=len) if key.startswith("urls[")]
                return [self(call.pop("method"), call) for call in inner]
            case "Goals.getGoals":
                return json.loads(read("meta_Goals.getGoals.json").body)
            case "CustomDimensions.getConfiguredCustomDimensions":
                return json.loads(read("meta_CustomDimensions.getConfigured_view.json").body)
            case "Live.getLastVisitsDetails" | "SegmentEditor.getAll":
                return []
        return self._report(method, form)

    def _report(self, method: str, form: Mapping[str, str]) -> Any:
        call = call_of(method, form)
        if call not in self._recorded and call not in self.replaced:
            return _ERROR
        answer = self.replaced[call] if call in self.replaced else json.loads(self._recorded[call].body)
        first, _, last = form["date"].partition(",")
        if not last:
            return answer if date.fromisoformat(first) == DAY else []
        days = range(date.fromisoformat(first).toordinal(), date.fromisoformat(last).toordinal() + 1)
        return {str(date.fromordinal(day)): answer if day == DAY.toordinal() else [] for day in days}
