"""Errors that nobody foresaw: what is told of them, without a single value of the data that led to them."""

import traceback

import structlog

log = structlog.get_logger()

_PACKAGE = __name__.partition(".")[0]


def note_unforeseen(error: Exception, **where: str) -> str:
    """Log an error by its class and place, and return a sentence for the user.

    Neither has the error's own text, which may repeat anything. ``where``: fields for the log line.
    """
    frames = [
        f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    ours = [place for place in frames if place.startswith(_PACKAGE)]
    place = (ours or frames or ["?"])[-1]
    kind = type(error).__name__
    log.error("unforeseen_error", kind=kind, place=place, stack=frames, **where)
    return f"unforeseen {kind} at {place}: please report it, with the log line unforeseen_error"
