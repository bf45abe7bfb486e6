"""A sample Matomo: an HTTP server that answers like a real one, for the demo and the tests."""

from matomo_fn.sample.faults import (
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
from matomo_fn.sample.front import Call
from matomo_fn.sample.matomo import TOKEN, SampleMatomo
from matomo_fn.sample.sites import Goal, Site, World, default_world
from matomo_fn.sample.visits import Visit

__all__ = [
    "TOKEN",
    "Call",
    "Fault",
    "Faults",
    "Goal",
    "SampleMatomo",
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
