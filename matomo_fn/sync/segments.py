"""The segments of a run: those of the configuration, the saved ones by what Matomo has under their names."""

from collections.abc import Sequence

from matomo_fn.config.connector import Connector
from matomo_fn.config.validation import suggestion
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.segments import SavedSegment, saved_segments
from matomo_fn.segments import Segment


def resolve_segments(client: MatomoClient, connector: Connector) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Return the segments of a connector, and a sentence for each that cannot be had: it costs no other segment.

    Matomo is requested only where the configuration names a segment that is saved there.
    """
    found: list[Segment] = []
    problems: list[str] = []
    saved, error = _saved(client) if any(config.saved for config in connector.segments.values()) else ([], None)
    for name, config in connector.segments.items():
        tables = config.tables_of(connector.catalogue)
        if not config.saved:
            found.append(Segment(name, config.definition, tables))
        elif error is not None:
            problems.append(f"segment {name}: Matomo's saved segments are not known: {error}")
        else:
            of_name = [one for one in saved if one.name == config.saved]
            problem = _problem(config.saved, of_name, saved)
            if problem:
                problems.append(f"segment {name}: {problem}")
            else:
                found.append(_segment(name, of_name, tables))
    return tuple(found), tuple(problems)


def _saved(client: MatomoClient) -> tuple[Sequence[SavedSegment], MatomoError | None]:
    try:
        return saved_segments(client), None
    except MatomoFatal:
        raise
    except MatomoError as error:
        return [], error


def _problem(name: str, of_name: Sequence[SavedSegment], saved: Sequence[SavedSegment]) -> str | None:
    """Return why a saved segment cannot be told by its name, or None where it can."""
    if not saved:
        return f"there is no saved segment {name!r}, and no other, that the token's user may see: write its definition"
    if not of_name:
        known = suggestion(name, {one.name for one in saved})
        return f"there is no saved segment {name!r} that the token's user may see: {known}"
    sites = [one.site_id for one in of_name]
    if len(set(sites)) < len(sites) and len({(one.site_id, one.definition) for one in of_name}) > len(set(sites)):
        return f"several saved segments have the name {name!r}: rename one in Matomo, or write the definition"
    return None


def _segment(name: str, of_name: Sequence[SavedSegment], tables: frozenset[str] | None) -> Segment:
    """Return the segment of some saved ones: that of all sites, or else those of single sites."""
    for one in of_name:
        if not one.site_id:
            return Segment(name, one.definition, tables)
    return Segment(name, "", tables, {one.site_id: one.definition for one in of_name})
