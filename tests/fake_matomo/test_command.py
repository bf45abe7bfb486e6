"""The command `python -m fake_matomo`."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.fake_matomo.exchanges import exchange


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
