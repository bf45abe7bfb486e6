"""Whether a Matomo has the segments of a connector, and archives of them."""

from datetime import datetime, timedelta

from matomo_fn.app.check_reports import Note
from matomo_fn.days import Days
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.segments import Segment
from matomo_fn.sync.scope import Scope, Window

# Days of which a segment's archives are looked at: the latest ones, which the next sync requests.
_DAYS = 7
_ADVICE = (
    'Save the segment in Matomo\'s segment editor as "pre-processed" and let core:archive run '
    "(./console core:archive; for days before that with --force-date-range=START,END), or let Matomo process reports "
    "on demand (Administration, General settings, Archive reports when viewed from the browser)"
)


def check_segments(note: Note, client: MatomoClient, scope: Scope, now: datetime) -> None:
    """Look at each segment at one site that has it: at most two calls a segment, and one more for each quiet stretch.

    Raises MatomoFatal where no further call can succeed.
    """
    for sentence in scope.missing_segments:
        note("segments", sentence, is_good=False)
    checks = ArchiveChecks(client, 0, now)
    for segment in scope.segments:
        windows = [window for window in scope.windows if not segment.of_sites or window.site.id in segment.of_sites]
        if windows:
            _check_segment(note, checks, segment, windows[0])
        elif scope.windows:
            note(
                "segments",
                f"segment {segment.name}: Matomo has it for none of the sites that are synced",
                is_good=False,
            )


def _check_segment(note: Note, checks: ArchiveChecks, segment: Segment, window: Window) -> None:
    days = Days.between(max(window.first, window.last - timedelta(days=_DAYS - 1)), window.last)
    check = checks.of(window.site, segment)
    try:
        visits = check.visits(days)
        reasons = check.pending_reasons(days)
    except MatomoFatal:
        raise
    except MatomoError as error:
        note("segments", f"segment {segment.name}: {error}", is_good=False)
        return
    where = f"(site {window.site.id}, {days.first} to {days.last})"
    unknown = [reasons[day] for day in days if visits[day] is None]
    pending = [day for day in days if reasons[day] is not None]
    total = sum(count or 0 for count in visits.values())
    if unknown:
        note("segments", f"segment {segment.name}: {unknown[0]}", is_good=False)
    elif pending:
        sentence = f"segment {segment.name} has visits and no archive on {len(pending)} of {len(days)} days {where}"
        note("segments", f"{sentence}. {_ADVICE}", is_good=False)
    else:
        note("segments", f"segment {segment.name} has {total} visits {where}")
