"""Calls that can be abandoned: each runs on a daemon thread, and the thread that waits for it may go on.

Nothing can interrupt a thread that looks up a name, shakes hands or reads an answer. A daemon thread that was left
behind ends with its call, and does not keep the program from its end.
"""

import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


class DaemonThreads:
    """Threads of one name that are started as they are needed, and used again; they end with this object."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: queue.SimpleQueue[_Thread] = queue.SimpleQueue()
        weakref.finalize(self, _dismiss, self._idle)

    @contextmanager
    def running(self, call: Callable[[], Result]) -> Iterator[Future[Result]]:
        """Run a call until the block ends; a thread that has not finished it by then ends behind it."""
        thread = self._take()
        result: Future[Result] = Future()
        thread.run(result, partial(copy_context().run, call))
        try:
            yield result
        finally:
            if result.done():
                self._idle.put(thread)
            else:
                thread.dismiss()

    def _take(self) -> "_Thread":
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return _Thread(self._name)


_Task = tuple[Future[Any], Callable[[], Any]]


class _Thread:
    """A thread that makes one call after the other, until it is dismissed."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._tasks,), name=name, daemon=True).start()

    def run(self, result: Future[Result], call: Callable[[], Result]) -> None:
        self._tasks.put((result, call))

    def dismiss(self) -> None:
        """Let the thread end behind its present call."""
        self._tasks.put(None)


def _work(tasks: "queue.SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        result, call = task
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            result.set_exception(error)
        del task, result, call  # what the call holds is not kept until the next one


def _dismiss(idle: "queue.SimpleQueue[_Thread]") -> None:
    while True:
        try:
            idle.get_nowait().dismiss()
        except queue.Empty:
            return
