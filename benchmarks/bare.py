"""`python -m benchmarks.bare`: sends calls to a Matomo, some at once, and reads the answers without parsing them."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local

import requests


def bare_seconds(url: str, token: str, calls: Sequence[Mapping[str, str]], concurrency: int) -> float:
    """Return how long a process of its own takes for calls, its start left out."""
    order = json.dumps({"url": url, "token": token, "calls": list(calls), "concurrency": concurrency})
    command = [sys.executable, "-m", "benchmarks.bare"]
    done = subprocess.run(command, input=order, stdout=subprocess.PIPE, check=True, text=True)
    return float(done.stdout)


def _send_all(url: str, token: str, calls: Sequence[Mapping[str, str]], concurrency: int) -> float:
    thread = local()

    def send(params: Mapping[str, str]) -> None:
        if not hasattr(thread, "session"):
            thread.session = requests.Session()
        query = {"module": "API", "method": params["method"], "format": "json"}
        form = {name: value for name, value in params.items() if name not in query} | {"token_auth": token}
        thread.session.post(f"{url}index.php", params=query, data=form, timeout=60).raise_for_status()

    started = time.monotonic()
    with ThreadPoolExecutor(concurrency) as threads:
        for _ in threads.map(send, calls):
            pass
    return time.monotonic() - started


if __name__ == "__main__":
    print(_send_all(**json.load(sys.stdin)))
