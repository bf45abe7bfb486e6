"""A fake Matomo: an HTTP server that answers and takes hits like a real Matomo, for the demo and the tests."""

from fake_matomo.faults import (
    TRACKER,
    Fault,
    Faults,
    database_down,
    force_ssl,
    html_page,
    maintenance,
    out_of_memory,
    rate_limited,
    too_many_failed_logins,
    upgrade_required,
)
from fake_matomo.front import Call
from fake_matomo.hits import Hit
from fake_matomo.matomo import TOKEN, FakeMatomo
from fake_matomo.sites import Goal, Site, World, default_world
from fake_matomo.visits import Visit

__all__ = [
    "TOKEN",
    "TRACKER",
    "Call",
    "FakeMatomo",
    "Fault",
    "Faults",
    "Goal",
    "Hit",
    "Site",
    "Visit",
    "World",
    "database_down",
    "default_world",
    "force_ssl",
    "html_page",
    "maintenance",
    "out_of_memory",
    "rate_limited",
    "too_many_failed_logins",
    "upgrade_required",
]
