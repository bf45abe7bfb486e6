"""`sync` of several connectors: a heading and a result for each, and the gravest exit code."""

from typing import Any

import click

from matomo_fn.app.cli.output import BAD_INPUT, FAILED, is_input, print_errors, print_json
from matomo_fn.app.cli.progress import progress_bar
from matomo_fn.app.cli.results import print_result
from matomo_fn.app.fan_out import Handing
from matomo_fn.app.several import combined, for_each
from matomo_fn.app.wiring import new_run, run_sync
from matomo_fn.config.request import SeveralRequests, SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.errors import MatomoFnError
from matomo_fn.sync.result import RunResult
from matomo_fn.verdict import Verdict


def sync_several(settings: Settings, requests: SeveralRequests, handing: Handing, *, as_json: bool) -> int:
    """Sync several connectors, print what came of each as soon as it has ended, and return the exit code."""
    runs = {request: new_run() for request in requests.each}

    def run(share: Settings, request: SyncRequest) -> RunResult:
        if not as_json:
            click.echo(f"\n{request.connector}:\n")
        with progress_bar(as_json=as_json) as progress:
            return run_sync(share, request, runs[request], progress, handing=handing)

    answers: dict[str, dict[str, Any]] = {}
    codes = []
    for request, outcome in for_each(settings, requests, run, lambda result: result.is_stopped):
        if isinstance(outcome, MatomoFnError):
            sentences = list(outcome.sentences)
            known = {"connector": request.connector, "run_id": runs[request].id}
            answers[request.connector] = {"status": "failed", **known, "errors": sentences}
            codes.append(BAD_INPUT if is_input(outcome) else FAILED)
            if not as_json:
                print_errors(sentences)
            continue
        answers[request.connector] = outcome.as_dict()
        codes.append(exit_code_of(outcome))
        if not as_json:
            print_result(outcome)
    answer = combined(answers)
    if as_json:
        print_json(answer)
    else:
        counts = {status: [name for name in answers if answers[name]["status"] == status] for status in Verdict}
        click.echo(f"\n{', '.join(f'{len(names)} {status}' for status, names in counts.items() if names)}")
    return max(codes)


def exit_code_of(result: RunResult) -> int:
    """Return the exit code of a run: 0 where it is complete or handed on, 2 for a refused token, 1 otherwise."""
    if result.token_refused:
        return BAD_INPUT
    return 0 if result.verdict in (Verdict.COMPLETE, Verdict.HANDED_ON) else FAILED
