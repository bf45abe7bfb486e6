"""Logs: an event name and fields, one JSON line each with the names that Cloud Logging knows, or readable lines."""

import io
import logging
import re
import sys
from collections.abc import Collection, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from matomo_fn.redaction import redact_value
from matomo_fn.values import printable

if TYPE_CHECKING:
    from structlog.typing import Processor

# https://cloud.google.com/logging/docs/structured-logging
_TRACE = "logging.googleapis.com/trace"
_SPAN = "logging.googleapis.com/spanId"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
# Characters of one text, items of one list, and characters of a traceback in a log line.
_LONGEST, _MOST_ITEMS, _LONGEST_TRACE = 1_000, 200, 20_000
# What the program itself writes into each line.
_OWN = frozenset({"time", "level", "event", "run_id", _TRACE, _SPAN})
_CLOUD_TRACE = re.compile(r"(?P<trace>[0-9a-f]{32})(/(?P<span>[0-9]{1,20}))?(;.*)?")


def configure_logs(
    form: str,
    stream: TextIO | None = None,
    level: int = logging.INFO,
    *,
    without: Collection[str] = (),
    sentences: Mapping[str, str] | None = None,
) -> None:
    """Send the program's events from a level on to a stream (standard output), as ``json``, ``text`` or ``auto``.

    ``auto`` is readable lines on a terminal and JSON everywhere else. Events named in ``without`` are left out.
    ``sentences``: what readable lines have in place of some events.
    """

    def leave_out(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event["event"] in without:
            raise structlog.DropEvent
        return event

    target = stream or sys.stdout
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="backslashreplace")  # half a surrogate pair is in no encoding
    processors: list[Processor] = [
        leave_out,
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", key="time"),
    ]
    processors += [structlog.processors.format_exc_info, _clean]
    if form == "text" or (form == "auto" and target.isatty()):
        console = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )

        def line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
            return (sentences or {}).get(event["event"]) or str(console(logger, method, event))

        processors += [structlog.processors.add_log_level, _time_of_day, _printable, line]
    else:
        json_line = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        processors += [_cloud_fields, json_line]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def trace_fields(headers: Mapping[str, str], project: str) -> dict[str, str]:
    """Return the fields that tie a log line to the trace of an HTTP request, from its headers in lower case."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    span = match["span"] if match else None
    if not match and (match := _CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context", ""))):
        # Decimal in this header, but 16 hexadecimal digits in traceparent and in a log entry.
        span = f"{int(match['span']):016x}" if match["span"] else None
    if not match or not project:
        return {}
    fields = {_TRACE: f"projects/{project}/traces/{match['trace']}"}
    return fields | ({_SPAN: span} if span else {})


def _clean(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shorten what is long, since an entry of Cloud Logging has at most 256 KB, and redact secrets."""
    for name in list(event):
        if name not in _OWN:
            event[name] = redact_value(_shortened(event[name], _LONGEST_TRACE if name == "exception" else _LONGEST))
    return event


def _shortened(value: Any, longest: int) -> Any:
    """Return a value whose texts and lists are not longer than can be read; what is left out is counted."""
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]}... ({len(value) - longest} more characters)"
    if isinstance(value, Mapping):
        return {_shortened(str(name), longest): _shortened(item, longest) for name, item in value.items()}
    if isinstance(value, list | tuple):
        more = [f"... ({len(value) - _MOST_ITEMS} more)"] if len(value) > _MOST_ITEMS else []
        return [*(_shortened(item, longest) for item in value[:_MOST_ITEMS]), *more]
    return value


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what a terminal would obey; a traceback keeps its lines."""
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(map(printable, str(value).splitlines()))
        elif name == "stack":  # shown below the line, as one text
            event[name] = "\n".join(map(printable, map(str, value)))
        elif isinstance(value, str):  # the texts within other values are shown as Python writes them
            event[name] = printable(value)
    return event


def _cloud_fields(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name severity and message as Cloud Logging does, first in the line."""
    severity = {"warn": "WARNING", "exception": "ERROR"}.get(method, method.upper())
    message = event.pop("event", "")
    trace = event.pop("exception", None)
    line = {"severity": severity, "message": message, **event}
    return line | ({"stack_trace": trace} if trace else {})


def _time_of_day(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["time"] = str(event["time"])[11:19]
    return event
