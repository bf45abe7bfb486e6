"""Numbers as PHP computes and formats them, and what it takes for JSON and for URLs."""

import json
from math import floor
from urllib.parse import SplitResult, urlsplit


def php_round(value: float, digits: int) -> float | int:
    """Round half up; return an int if the result is whole, as in PHP's JSON."""
    factor: int = 10**digits
    return php_number(floor(value * factor + 0.5 + 1e-9) / factor)


def php_number(value: float) -> float | int:
    """Return the number as in PHP's JSON, where whole floats have no decimal point."""
    return int(value) if value == int(value) else value


def quotient(part: float, whole: float, digits: int) -> float | int:
    """Return a rounded quotient, or 0 if the divisor is 0."""
    return php_round(part / whole, digits) if whole else 0


def pretty_seconds(seconds: int) -> str:
    """Format a duration as in Matomo's user interface: `6 min 13s`."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days} days {hours} hours"
    if hours:
        return f"{hours} hours {minutes} min"
    return f"{minutes} min {seconds}s" if minutes else f"{seconds}s"


def clock_seconds(seconds: int) -> str:
    """Format a duration as `00:01:10`."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def pretty_money(symbol: str, amount: float) -> str:
    """Format an amount as in Matomo's user interface: `€1,267.90`, `€79`."""
    return f"{symbol}{amount:,.0f}" if amount == int(amount) else f"{symbol}{amount:,.2f}"


def decoded_json(text: str | bytes) -> object:
    """Return JSON's value, or None for what PHP does not take for JSON either."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
        if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
            # Half of a pair of surrogates.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def split_url(text: str) -> SplitResult:
    """Return the parts of a URL, all empty if it is none: PHP's `parse_url` returns false then."""
    try:
        split = urlsplit(text)
        _ = split.hostname
    except ValueError:
        return urlsplit("")
    return split
