"""The command `python -m fake_matomo`."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fake_matomo.exchanges import exchange
from tests.fake_matomo.sending import VISITOR, hit


class Served:
    """The URL of a server in another process."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(number: signal.Signals) -> None:
    """It prints one line with URL and token when ready, and exits with 0."""
    command = [sys.executable, "-W", "error", "-m", "fake_matomo", "--port", "0", "--days", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            words = process.stdout.readline().split()
            url, token = words[3], words[5]
            query = {"module": "API", "format": "json", "method": "SitesManager.getSitesWithAtLeastViewAccess"}
            sites = exchange(Served(url), "POST", query, {"token_auth": token}).answer
            assert isinstance(sites, list)
            oldest = min(site["ts_created"] for site in sites)
            assert oldest[:10] >= str((datetime.now(UTC) - timedelta(days=11)).date())
        finally:
            process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_hits_sent_to_the_command_are_in_its_visits_log() -> None:
    """Its token may send them for past days, and read them."""
    command = [sys.executable, "-W", "error", "-m", "fake_matomo", "--port", "0", "--days", "3", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        served, token = Served(words[3]), words[5]
        yesterday = datetime.now(UTC) - timedelta(days=1, hours=1)
        hits = [hit(idsite=2, cdt=f"{yesterday:%Y-%m-%d %H:%M:%S}", pv_id="sent01")]
        body = json.dumps({"requests": hits, "token_auth": token})
        tracked = exchange(served, "POST", {}, body, {"Content-Type": "application/json"}, "/matomo.php").answer
        assert tracked == {"status": "success", "tracked": 1, "invalid": 0}
        query = {"module": "API", "format": "json", "method": "Live.getLastVisitsDetails"}
        form = {"token_auth": token, "idSite": "2", "segment": f"visitorId=={VISITOR}"}
        visits: Any = exchange(served, "POST", query, form).answer
        assert [action["idpageview"] for visit in visits for action in visit["actionDetails"]] == ["sent01"]


def test_it_ends_with_the_process_that_started_it() -> None:
    """A demo that is killed closes the pipe to it, and can do nothing more."""
    command = [sys.executable, "-W", "error", "-m", "fake_matomo", "--port", "0", "--days", "1", "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("fake Matomo at ")
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
