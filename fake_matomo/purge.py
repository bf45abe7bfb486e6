"""Reports that Matomo has deleted by its setting for old ones (`ReportsPurger`)."""

from dataclasses import dataclass, field
from datetime import date

# The metrics that the setting keeps (`PrivacyManager::getAllMetricsToKeep`), and those that are computed from them.
_BASIC = frozenset(
    (
        *("nb_uniq_visitors", "nb_users", "nb_visits", "nb_actions", "nb_visits_converted", "bounce_count"),
        *("sum_visit_length", "max_actions", "bounce_rate", "nb_actions_per_visit", "avg_time_on_site"),
        *("nb_conversions", "revenue", "items", "conversion_rate"),
    )
)


@dataclass(slots=True)
class Purge:
    """The days whose reports are deleted: those before `before`, but for `archived_again` (site, day).

    `keeps_basic_metrics`: the numbers of visits and conversions stay. Reports of longer periods stay in any case.
    """

    before: date | None = None
    keeps_basic_metrics: bool = True
    archived_again: set[tuple[int, date]] = field(default_factory=set)

    def covers(self, site_id: int, period: str, day: date) -> bool:
        """Whether the reports of a period that begins on a day are deleted."""
        return (
            self.before is not None
            and period == "day"
            and day < self.before
            and (site_id, day) not in self.archived_again
        )

    def left_of(self, answer: object, *, part: bool) -> object:
        """Return what is left of a report's answer; `part` of an answer that is keyed by days or sites."""
        if isinstance(answer, list):
            return []
        if not isinstance(answer, dict):
            return answer if self.keeps_basic_metrics else 0  # VisitsSummary.getVisits
        row = {name: value if self._is_kept(name) else _zero(value) for name, value in answer.items()}
        return [] if part and not any(map(self._is_kept, row)) else row

    def _is_kept(self, name: str) -> bool:
        return self.keeps_basic_metrics and (name in _BASIC or name == "value")


def _zero(value: object) -> object:
    return "0%" if isinstance(value, str) and value.endswith("%") else 0
