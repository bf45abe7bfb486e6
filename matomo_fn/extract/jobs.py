"""An extraction job: what one worker thread requests from Matomo in a row."""

from dataclasses import dataclass
from datetime import date

from matomo_fn.catalogue import Table
from matomo_fn.sites import Site

# Days of the first range call of a report; later ones grow or shrink by the bytes that come back.
FIRST_CHUNK = 31


@dataclass(frozen=True, slots=True)
class Job:
    """Days of one site to ask for a group of tables that share their calls."""

    site: Site
    segment: str
    tables: tuple[Table, ...]
    days: tuple[date, ...]
