"""The main job, shown: a sample Matomo, the function under functions-framework, two syncs, the tables.

Nothing of it leaves this machine. What it wrote stays in the folder demo/ to look at.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import duckdb

from fake_matomo import FakeMatomo, default_world

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo"
WAREHOUSE = FOLDER / "matomo.duckdb"
DATASET = "matomo_demo"
SITES = ("1", "2")
START_SECONDS = 60.0


def main() -> int:
    """Run the demonstration; return 1 where the second sync wrote anything."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "secrets").mkdir(parents=True)
    with FakeMatomo(default_world()) as matomo:
        _say(f"a sample Matomo answers at {matomo.url}")
        _write_connector(matomo.url, matomo.token)
        with _function() as url:
            _say(f"the function answers at {url} (its log: {_shown(FOLDER / 'function.log')})")
            _say('first sync: POST {"connector": "demo"}: two sites, 365 days')
            first = _post(url)
            _print_tables(first)
            _say("second sync, the same request: the trailing days are asked again, and written where they changed")
            second = _post(url)
    written = sum(table["written"] for table in second["tables"].values())
    unchanged = sum(table["unchanged"] for table in second["tables"].values())
    print(f"   {written} slices written, {unchanged} unchanged, {second['seconds']:.1f} seconds")
    _print_farewell()
    good = first["status"] == second["status"] == "complete" and written == 0
    return 0 if good else 1


def _write_connector(url: str, token: str) -> None:
    config = {"matomo_url": url, "sites": SITES, "dataset": DATASET, "requests_per_minute": 6000}
    (FOLDER / "secrets" / "matomo-demo-config").write_text(json.dumps(config, indent=2))
    (FOLDER / "secrets" / "matomo-demo-token").write_text(token)


@contextmanager
def _function() -> Iterator[str]:
    """Start the function as Cloud Run would, and give its address."""
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATOMO_FN_")} | {
        "MATOMO_FN_SECRETS": str(FOLDER / "secrets"),
        "MATOMO_FN_WAREHOUSE": f"duckdb:{WAREHOUSE}",
    }
    program = Path(sys.executable).parent / "functions-framework"
    command: list[str | Path] = [
        program,
        "--target",
        "sync",
        "--source",
        ROOT / "main.py",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (FOLDER / "function.log").open("wb") as log:
        function = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait_for(url, function)
            yield url
        finally:
            function.terminate()
            function.wait()


def _wait_for(url: str, function: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and function.poll() is None:
        try:
            with urllib.request.urlopen(url):
                return
        except urllib.error.HTTPError:
            return  # it answers: GET is not what it takes
        except urllib.error.URLError:
            time.sleep(0.1)
    sys.exit(f"the function did not start; see {FOLDER / 'function.log'}")


def _post(url: str) -> dict[str, Any]:
    body = json.dumps({"connector": "demo"}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
            result: dict[str, Any] = json.load(answer)
            return result
    except urllib.error.HTTPError as error:
        sys.exit(f"the sync failed (HTTP {error.code}): {error.read().decode()}")


def _print_tables(result: dict[str, Any]) -> None:
    print(f"   {'table':<26}{'rows':>8}  {'first day':<12}{'last day':<12}{'seconds':>8}")
    with duckdb.connect(str(WAREHOUSE), read_only=True) as warehouse:
        for name, table in result["tables"].items():
            found = warehouse.execute(f'select count(*), min(date), max(date) from {DATASET}."{name}"').fetchone()
            rows, first, last = found or (0, None, None)
            print(f"   {name:<26}{rows:>8}  {first!s:<12}{last!s:<12}{table['seconds']:>8.2f}")
    print(f"   {result['matomo_calls']} calls to Matomo, {result['seconds']:.1f} seconds")


def _print_farewell() -> None:
    python = _shown(Path(sys.executable))
    database = _shown(WAREHOUSE)
    print(f"""
To look at the data:
   {python} -c "import duckdb; duckdb.connect('{database}').sql('from {DATASET}.visitor_country limit 10').show()"
   MATOMO_FN_SECRETS=demo/secrets MATOMO_FN_WAREHOUSE=duckdb:{database} {python} -m matomo_fn status demo

To use your own Matomo:
   mkdir secrets
   echo '{{"matomo_url": "https://matomo.example.com", "sites": "all"}}' > secrets/matomo-shop-config
   echo 'the token' > secrets/matomo-shop-token
   export MATOMO_FN_SECRETS=secrets MATOMO_FN_WAREHOUSE=duckdb:matomo.duckdb
   {python} -m matomo_fn check shop
   {python} -m matomo_fn sync shop""")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _say(text: str) -> None:
    print(f"-- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
