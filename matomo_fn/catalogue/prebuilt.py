"""The tables that are built into the program."""

from collections.abc import Mapping
from dataclasses import replace

from matomo_fn.catalogue.behaviour import BEHAVIOUR
from matomo_fn.catalogue.goals import ECOMMERCE, GOAL_CONVERSIONS
from matomo_fn.catalogue.marketing import MARKETING
from matomo_fn.catalogue.model import Catalogue, Source
from matomo_fn.catalogue.summary import SUMMARY
from matomo_fn.catalogue.visitors import VISITORS
from matomo_fn.catalogue.visits import VISITS

# The reports that a connector syncs where it names none.
PREBUILT = Catalogue((*MARKETING, *SUMMARY))
# Sets of reports by name. "extended" has all: it takes twice the calls, so a configuration has to name it.
_FURTHER = Catalogue(
    replace(table, is_optional=True) for table in (*VISITORS, *BEHAVIOUR, GOAL_CONVERSIONS, *ECOMMERCE)
)
EXTENDED = Catalogue((*PREBUILT.values(), *_FURTHER.values()))
REPORT_SETS: Mapping[str, Catalogue] = {
    "prebuilt": PREBUILT,
    "extended": EXTENDED,
    "ecommerce": _FURTHER.select(table.name for table in (GOAL_CONVERSIONS, *ECOMMERCE)),
}
# Every table that needs no description of its own in a configuration.
BUILT_IN = Catalogue((*EXTENDED.values(), VISITS))
# The report that counts the visits of a day: it tells an empty day from one that is not archived.
VISIT_COUNTS: Source = PREBUILT["visits_summary"].sources[0]
