"""How a request to the function begins: its logs, and the settings of the process."""

from collections.abc import Mapping

import structlog

from matomo_fn.app.logs import configure_logs, trace_fields
from matomo_fn.config.settings import Settings, settings_from_environment


def begin_request(headers: Mapping[str, str], **fields: str) -> Settings:
    """Set up the logs for one request, whose lines all have the fields, and return the settings.

    ``headers``: with names in lower case, for the trace of the request.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)
    configure_logs("auto")
    settings = settings_from_environment()
    configure_logs(settings.log_format)
    structlog.contextvars.bind_contextvars(**trace_fields(headers, settings.project))
    return settings
