"""Which way of extracting a job takes."""

from collections.abc import Callable, Iterator, Mapping

from matomo_fn.catalogue import Extraction
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.reports import extract_reports
from matomo_fn.extract.visits import extract_visits

_EXTRACTORS: Mapping[Extraction, Callable[[ExtractContext, Job], Iterator[Extracted]]] = {
    Extraction.REPORTS: extract_reports,
    Extraction.VISITS_LOG: extract_visits,
}


def extract(context: ExtractContext, job: Job) -> Iterator[Extracted]:
    """Yield each slice of a job; several threads may run jobs of one context at once."""
    return _EXTRACTORS[job.extraction](context, job)
