"""The fake answers like the recorded Matomo, request by request."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from fake_matomo import FakeMatomo
from tests.fake_matomo.exchanges import Exchanged
from tests.fake_matomo.recorded import (
    NOT_SERVED,
    Recording,
    all_recordings,
    inner_params,
    needs_own_instance,
    prepare,
    reason_not_served,
    recorded_instance,
    replay,
    served,
)
from tests.fake_matomo.shapes import Comparison

# Methods about the instance, which is configured like the recorded one: the answers must be equal.
EXACT = ("SitesManager.", "API.getMatomoVersion", "API.getPiwikVersion")


def names(recordings: tuple[Recording, ...]) -> list[str]:
    return [recording.name.removesuffix(".json") for recording in recordings]


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeMatomo]:
    """Run one instance for all exchanges that do not change it: generating visits takes most of the time."""
    with recorded_instance() as matomo:
        yield matomo


@pytest.mark.parametrize("recording", served(), ids=names(served()))
def test_the_fake_answers_like_the_recording(recording: Recording, shared: FakeMatomo) -> None:
    """Same status, same content type, same shape, same types; errors and facts of the instance verbatim."""
    got = replayed(recording, shared)
    assert (got.status, got.content_type.lower()) == (recording.status, recording.content_type.lower())
    assert differences(recording, got) == []


def replayed(recording: Recording, shared: FakeMatomo) -> Exchanged:
    """Replay a request on an instance in the state that the recorded one was in."""
    if not needs_own_instance(recording):
        return replay(shared, recording)
    with recorded_instance() as matomo:
        prepare(matomo, recording.name)
        return replay(matomo, recording)


def differences(recording: Recording, got: Exchanged) -> list[str]:
    if recording.location is not None:
        return [] if same_place(recording.location, got.location) else [f"redirects to {got.location}"]
    if recording.is_of_tracker:
        return [] if got.body == recording.body else [f"{got.body!r} is not {recording.body!r}"]
    if not recording.is_json:
        return html_differences(recording, got)
    if recording.method == "API.getBulkRequest" and isinstance(recording.answer, list):
        return bulk_differences(recording, got)
    if recording.method.startswith(EXACT) or "error" in str(recording.answer)[:30]:
        return [] if got.answer == recording.answer else [f"{got.body} is not {recording.body}"]
    return Comparison(recording).compare(recording.answer, got.answer)


def same_place(recorded: str, got: str | None) -> bool:
    """Whether two URLs have the same path and query, apart from host and token."""
    return got is not None and got.split("index.php")[1][:20] == recorded.split("index.php")[1][:20]


def html_differences(recording: Recording, got: Exchanged) -> list[str]:
    """Compare an error page by its message, any other page by its title."""
    marker = "<h2>" if "<h2>" in recording.body else "<title>"
    if marker not in recording.body:
        return [] if got.body == recording.body else [f"{got.body!r} is not {recording.body!r}"]
    wanted = recording.body.split(marker)[1].split("<")[0].strip()
    return [] if wanted in got.body else [f"{wanted!r} is missing"]


def bulk_differences(recording: Recording, got: Exchanged) -> list[str]:
    """Compare each entry with the recorded one, as the answer to its own call."""
    recorded, answer = recording.answer, got.answer
    assert isinstance(recorded, list)
    if not isinstance(answer, list) or len(answer) != len(recorded):
        return [f"{got.body[:200]} is not {len(recorded)} entries"]
    found: list[str] = []
    for number, (one, other) in enumerate(zip(recorded, answer, strict=True)):
        params = inner_params(recording)[number]
        error = isinstance(one, dict) and one.get("result") == "error"
        if error or params.get("method", "").startswith(EXACT):
            found += [] if one == other else [f"entry {number}: {other} is not {one}"]
        else:
            # A column cut away by the outer request is one of the inner call's too.
            found += Comparison(recording, params).compare(one, other, f"entry {number}")
    return found


def test_what_is_not_served_is_listed_with_a_reason() -> None:
    """Each recording is either served or listed, and each pattern in the list matches a recording."""
    left = {recording.name for recording in all_recordings()} - {recording.name for recording in served()}
    assert all(reason_not_served(name) for name in left)
    assert all(any(fnmatch(name, pattern) for name in left) for pattern in NOT_SERVED)


def test_most_recordings_are_served() -> None:
    """The list of what is not served stays short."""
    assert len(served()) >= 0.9 * len(all_recordings())


def test_json_is_written_as_php_writes_it(shared: FakeMatomo) -> None:
    """Slashes are escaped, there are no blanks, and everything is ASCII."""
    got = replay(shared, next(one for one in served() if one.name == "flat_Actions.getPageUrls.json"))
    assert '"url":"https:\\/\\/shop.example.org' in got.body
    assert got.body.isascii()
    assert json.loads(got.body)


@pytest.mark.parametrize(
    "name",
    [
        "accept_language_header.json",
        "day_DevicesDetection.getType.json",
        "day_Referrers.getReferrerType.json",
        "day_UserCountry.getCountry.json",
        "day_UserLanguage.getLanguage.json",
        "language_fr_getCountry.json",
        "language_fr_getType.json",
        "language_param_beats_header.json",
    ],
)
def test_labels_are_those_of_the_recordings(name: str, shared: FakeMatomo) -> None:
    """Rows with the same code have the same label, in every language."""
    recording = next(one for one in served() if one.name == name)
    got = replay(shared, recording)
    recorded, ours = labels(recording.answer), labels(got.answer)
    common = recorded.keys() & ours.keys()
    assert common
    assert {code: ours[code] for code in common} == {code: recorded[code] for code in common}


def labels(answer: object) -> dict[str, str]:
    """Return labels by what does not depend on the language."""
    assert isinstance(answer, list)
    return {str(row.get("code") or row.get("segment") or row["logo"]): row["label"] for row in answer}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("limit_0_getPageUrls_flat.json", 0),
        ("limit_50_offset_50.json", 50),
        ("limit_default_getPageUrls_flat.json", 100),
        ("limit_default_config_5.json", 5),
        ("truncate_3_getCountry.json", 4),
        ("truncate_10_getPageUrls_flat.json", 11),
        ("spike_getPageTitles_-1.json", 500),
        ("others_row_getPageTitles.json", 3),
        ("others_row_getPageTitles_keep_summary.json", 6),
        ("live_countVisitorsToFetch.json", 3),
        ("live_limit_5_offset_5.json", 5),
        ("bulk_101_urls_cut_to_100.json", 100),
        ("bulk_101_urls_filter_limit-1.json", 101),
        ("bulk_5_urls_outer_filter_limit-2.json", 2),
        ("bulk_5_urls_outer_filter_offset-2.json", 3),
    ],
)
def test_limits_give_as_many_rows_as_recorded(name: str, rows: int, shared: FakeMatomo) -> None:
    """Limits, offsets and "Others" give the recorded number of rows."""
    recording = next(one for one in served() if one.name == name)
    got = replayed(recording, shared)
    assert isinstance(recording.answer, list)
    assert isinstance(got.answer, list)
    assert (len(recording.answer), len(got.answer)) == (rows, rows)
