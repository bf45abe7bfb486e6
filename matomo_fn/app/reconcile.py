"""Reconciling a connector: its tables beside Matomo's own totals."""

import structlog

from matomo_fn.app.read_log import open_log
from matomo_fn.app.signals import ends_by_signal
from matomo_fn.app.wiring import new_run, open_run
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.sync.quality_result import QualityResult
from matomo_fn.sync.reconcile import reconcile


def run_reconcile(settings: Settings, request: SyncRequest) -> QualityResult:
    """Compare what a request is about with Matomo, and log what came of it in one line.

    It shares the calls that a connector may make with its other runs. Raises MatomoFnError where nothing could be
    compared: bad input, a connector that never was synced, no answer of Matomo, no warehouse, no budget.
    """
    run = new_run()
    structlog.contextvars.bind_contextvars(run_id=run.id)
    with open_log(settings, request.connector):
        pass  # before anything is created or requested
    deadline = Deadline(settings.time_budget)
    with ends_by_signal(deadline), open_run(settings, request, run, deadline, None) as session:
        return reconcile(session, request, run)
