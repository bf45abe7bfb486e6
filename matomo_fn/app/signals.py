"""How SIGINT and SIGTERM end a run: they stop its deadline, and the run writes what it has."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from types import FrameType
from typing import Any

import structlog

from matomo_fn.deadline import Deadline

log = structlog.get_logger()

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds in which a run that is told to end writes and logs what it has. Cloud Run and Docker end a program ten seconds
# after SIGTERM, and cancelling a job may take one more; after Ctrl-C nobody does, and a second one ends it at once.
_GRACE = {signal.SIGTERM: 8.0, signal.SIGINT: 60.0}
# What a shell adds to a signal's number for the exit code of a program that it ended.
_BY_SIGNAL = 128

# The deadlines of the runs in this process, for a server that takes the signals itself.
_running: set[Deadline] = set()
_running_lock = threading.Lock()

# The signals that told this process to end, in order.
_told: list[signal.Signals] = []


def remember_interrupts() -> None:
    """Let every run end by a SIGINT that came before it and was lost, from here on.

    KeyboardInterrupt is raised wherever the main thread is. In a finaliser or in the callback of a weak reference it is
    printed and ignored: https://docs.python.org/3/library/signal.html#note-on-signal-handlers-and-exceptions
    """
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, _remember)


def _remember(number: int, _frame: FrameType | None) -> None:
    _told.append(signal.Signals(number))
    raise KeyboardInterrupt


@contextmanager
def ends_by_signal(deadline: Deadline) -> Iterator[None]:
    """Let SIGINT and SIGTERM stop a deadline until the block ends; a second one ends the program at once.

    A process that was told to end before stops it at once, so that of several runs none begins after that.
    Only the main thread can take signals. A run on another one is ended by ``watch_worker``.
    """
    with _running_lock:
        _running.add(deadline)
    try:
        with _handled(deadline) if threading.current_thread() is threading.main_thread() else nullcontext():
            if _told:
                _stop(deadline, _told[0])
            yield
    finally:
        with _running_lock:
            _running.discard(deadline)


@contextmanager
def _handled(deadline: Deadline) -> Iterator[None]:
    # A handler in Python would run on the main thread: anywhere, also where that holds the very lock that stopping
    # takes, and not at all where the signal came in the moment before a wait without an end. So the interpreter's own
    # handler, which runs at once, writes the signal's number into a socket, and another thread does the rest.
    arrived, sent = socket.socketpair()
    with arrived, sent:
        sent.settimeout(0)
        watch = partial(copy_context().run, _watch, deadline, arrived)
        watcher = threading.Thread(target=watch, name="signals", daemon=True)
        watcher.start()
        written_before = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        before: dict[int, Any] = {}
        try:
            for number in _SIGNALS:
                before[number] = signal.signal(number, _do_nothing)
            yield
        finally:
            sent.send(b"\0")
            watcher.join()
            for taken, handler in reversed(before.items()):  # SIGINT last: from then on it raises KeyboardInterrupt
                signal.signal(taken, handler)
            signal.set_wakeup_fd(written_before)
            for late in _unread(arrived):  # what came after the watcher had ended
                signal.raise_signal(late)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Stand in for the signal's default action, which would end the program."""


def _unread(arrived: socket.socket) -> list[int]:
    arrived.settimeout(0)
    try:
        return [number for number in arrived.recv(4096) if number in _SIGNALS]
    except BlockingIOError:
        return []


def _watch(deadline: Deadline, arrived: socket.socket) -> None:
    while number := arrived.recv(1)[0]:
        if number not in _SIGNALS:
            continue  # of a handler that somebody else has set
        told = signal.Signals(number)
        if deadline.interrupted_by:
            log.error("run_abandoned", signal=told.name)  # what was not written yet is fetched by the next run
            os._exit(_BY_SIGNAL + number)
        _told.append(told)
        log.warning("run_stopping", signal=told.name)
        _stop(deadline, told)


def _stop(deadline: Deadline, told: signal.Signals) -> None:
    deadline.interrupt(told.name, _GRACE[told])


def watch_forked_workers() -> None:
    """Let SIGTERM end the runs of each process that is forked from this one, as gunicorn forks its workers.

    A worker's own handler is gunicorn's, and its main thread runs none of our code after the fork. All that gunicorn
    does is to wait for the requests, for longer than a platform does.
    """
    os.register_at_fork(after_in_child=_watch_worker)


def _watch_worker() -> None:
    if "gunicorn" not in sys.modules:
        return  # some other child, whose signals are not ours
    # Blocked here, and so in every thread that is started from here, the signal waits for the one that fetches it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_pass_on, name="signals", daemon=True).start()


def _pass_on() -> None:
    while True:
        signal.sigwait({signal.SIGTERM})
        _told.append(signal.SIGTERM)
        with _running_lock:
            running = list(_running)
        log.warning("instance_stopping", signal="SIGTERM", runs=len(running))
        for deadline in running:
            _stop(deadline, signal.SIGTERM)
        # Now gunicorn's turn: unblocked in this thread alone, the signal reaches its handler by way of this one.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
