"""Logs: an event name and fields, one JSON line each with the names that Cloud Logging knows, or readable lines."""

import io
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

# https://cloud.google.com/logging/docs/structured-logging
_TRACE = "logging.googleapis.com/trace"
_SPAN = "logging.googleapis.com/spanId"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_CLOUD_TRACE = re.compile(r"(?P<trace>[0-9a-f]{32})(/(?P<span>[0-9]{1,20}))?(;.*)?")


def configure_logs(form: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the program's events from a level on to a stream (standard output), as ``json``, ``text`` or ``auto``.

    ``auto`` is readable lines on a terminal and JSON everywhere else.
    """
    target = stream or sys.stdout
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="backslashreplace")  # half a surrogate pair is in no encoding
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", key="time"),
    ]
    if form == "text" or (form == "auto" and target.isatty()):
        console = structlog.dev.ConsoleRenderer(colors=target.isatty(), timestamp_key="time")
        processors += [structlog.processors.add_log_level, _time_of_day, console]
    else:
        json_line = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        processors += [structlog.processors.format_exc_info, _cloud_fields, json_line]
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
