"""Numbers as PHP computes and formats them."""

from math import floor


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
