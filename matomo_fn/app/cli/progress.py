"""How far a run is, on a terminal: a bar below the log lines, which do not tear it.

tqdm draws it. click's bar has neither a way to print lines above it nor an estimate that survives slices that come
in bursts. tqdm is one pure Python package of 80 KB and needs nothing; it is not deployed.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

from tqdm import tqdm

if TYPE_CHECKING:  # every command prints, and few of them sync
    from matomo_fn.sync.run import Progress

tqdm.monitor_interval = 0  # no thread that redraws by itself
tqdm.set_lock(threading.RLock())  # tqdm's own is one between processes

_FORM = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {remaining} {desc}"
# Characters of the table and site behind the bar, so that it does not jump: the longest table's and a site's.
_LONGEST_STEP = 33


@contextmanager
def progress_bar(*, as_json: bool) -> "Iterator[Progress]":
    """Give what shows a run's progress: a bar on a terminal, nothing elsewhere.

    It appears when the run is planned and its length is known, and the time that it shows is what remains.
    """
    if as_json or not sys.stderr.isatty():
        yield lambda *_: None
        return
    bar: tqdm[NoReturn] | None = None

    def show(done: int, total: int, step: str) -> None:
        nonlocal bar
        step = step[:_LONGEST_STEP].ljust(_LONGEST_STEP)
        if bar is None:
            # smoothing=0: by the average of all slices, since those of one call arrive together.
            bar = tqdm(desc=step, total=total, file=sys.stderr, bar_format=_FORM, smoothing=0, dynamic_ncols=True)
        bar.set_description_str(step, refresh=False)
        if done > bar.n:
            bar.update(done - bar.n)
        else:
            bar.refresh()

    try:
        yield show
    finally:
        if bar is not None:
            bar.set_description_str("", refresh=False)
            bar.close()


@contextmanager
def counter(what: str, *, as_json: bool) -> Iterator[Callable[[int], None]]:
    """Give what shows how many things are done, on a terminal, where nobody knows how many there are."""
    if as_json or not sys.stderr.isatty():
        yield lambda _done: None
        return
    with tqdm(unit=f" {what}", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(done: int) -> None:
            bar.update(done)

        yield show


class LinesAboveBar:
    """A terminal's error stream for log lines: each whole line is printed above the bar, if there is one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._parts: list[str] = []

    def write(self, text: str) -> int:
        """Take a text; what ends a line is printed with what came before."""
        self._parts.append(text)
        if text.endswith("\n"):
            lines = "".join(self._parts)
            self._parts.clear()
            with tqdm.external_write_mode(file=self._stream):
                self._stream.write(lines)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()
