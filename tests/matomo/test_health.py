"""Which calls are not made again, against a plain list of what became of each call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.errors import MatomoUnavailable
from matomo_fn.matomo.health import GIVE_UP_AFTER, Health, Subject, subject_of

SUBJECTS = [
    Subject(method, site, segment)
    for method in ("A.get", "B.get")
    for site in ("1", "2", "3", "4")
    for segment in ("", "mobile")
]


@given(st.lists(st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(["failed", "failed", "answered", "errors"]))))
def test_a_report_is_given_up_by_its_own_failures(calls: list[tuple[Subject, str]]) -> None:
    """Of a site after three in a row, of all after those of three sites and no answer; each segment for itself.

    The server may be down after three failures in a row of anything.
    """
    health = Health()
    for number, (subject, became) in enumerate(calls, 1):
        if became == "failed":
            latest = [each for _, each in calls[:number]][-GIVE_UP_AFTER:]
            assert health.failed(subject) == (latest == ["failed"] * GIVE_UP_AFTER)
        elif became == "answered":
            health.succeeded(subject)
        else:
            health.answered()
    refused = set()
    for subject in SUBJECTS:
        own = [became for each, became in calls if each == subject and became != "errors"]
        alike = [
            (each.site_id, became)
            for each, became in calls
            if (each.method, each.segment) == (subject.method, subject.segment)
        ]
        is_down_here = own[-GIVE_UP_AFTER:] == ["failed"] * GIVE_UP_AFTER
        failing = {site for site, became in alike if became == "failed"}
        is_down_everywhere = len(failing) >= 3 and not any(became == "answered" for _, became in alike)
        if is_down_here or is_down_everywhere:
            refused.add(subject)
    found = set()
    for subject in SUBJECTS:
        try:
            health.check(subject)
        except MatomoUnavailable as error:
            found.add(subject)
            assert str(error).startswith(subject.method)  # noqa: PT017 - most subjects raise nothing
    assert found == refused


def test_a_bulk_call_is_about_what_the_calls_in_it_are_about() -> None:
    """Its report, site and segment, and not API.getBulkRequest."""
    inner = "method=A.get&idSite=2&segment=a%3D%3Db"
    assert subject_of("API.getBulkRequest", {"urls[0]": inner}) == Subject("A.get", "2", "a==b")
    assert subject_of("A.get", {"idSite": "2", "segment": "a==b"}) == Subject("A.get", "2", "a==b")
    assert subject_of("A.get", {}) == Subject("A.get")
