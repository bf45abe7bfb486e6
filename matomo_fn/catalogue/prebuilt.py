"""The tables that are built into the program."""

from matomo_fn.catalogue.marketing import MARKETING
from matomo_fn.catalogue.model import Catalogue, Source
from matomo_fn.catalogue.summary import SUMMARY
from matomo_fn.catalogue.visits import VISITS

# The reports that a connector syncs where it names none.
PREBUILT = Catalogue((*MARKETING, *SUMMARY))
# Every table that needs no description of its own in a configuration.
BUILT_IN = Catalogue((*PREBUILT.values(), VISITS))
# The report that counts the visits of a day: it tells an empty day from one that is not archived.
VISIT_COUNTS: Source = PREBUILT["visits_summary"].sources[0]
