"""Programs that run beside the tests for a while."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.ports import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STOP_SECONDS = 10.0
TAIL_CHARACTERS = 4000


class Process:
    """A running program with what it has written so far."""

    def __init__(self, popen: subprocess.Popen[bytes], folder: Path) -> None:
        """Take over a program whose output goes to ``stdout`` and ``stderr`` in the folder."""
        self.popen = popen
        self._folder = folder

    @property
    def stdout(self) -> str:
        """Its standard output so far."""
        return (self._folder / "stdout").read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return (self._folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it at once, as a platform does that takes an instance away."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self.is_alive():
            self.popen.terminate()
            try:
                self.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    port: int,
    seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Process]:
    """Run a program until the block ends; the block starts when it listens on the port.

    Raises:
        RuntimeError: it ended, or did not listen within the given seconds; with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="matomo-fn-") as name:
        folder = Path(name)
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd)
        process = Process(popen, folder)
        try:
            if not wait_for(port, seconds=seconds, is_alive=process.is_alive):
                words = (process.stdout + process.stderr)[-TAIL_CHARACTERS:]
                message = f"{command[0]} does not listen on port {port} (exit code {popen.poll()}):\n{words}"
                raise RuntimeError(message)
            yield process
        finally:
            process.stop()
