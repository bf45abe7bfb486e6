"""Runs dbt's commands one after the other in one process, in dbt's own environment: its start takes two seconds.

Reads a command a line, a JSON list of arguments, and answers each by a line: whether it succeeded, what it found of
each node, and what was logged as a warning or an error. What dbt prints goes to standard error. A connection to
another machine is refused, and told of.
"""

import json
import os
import sys
from typing import Any

REFUSED: list[str] = []


def refuse_others(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what leaves this machine; an audit hook, so no library gets round it."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in ("127.0.0.1", "::1", "localhost", None):
        REFUSED.append(str(host))
        raise OSError(f"a test tried to reach {host}; only this machine is allowed")


def main() -> None:
    """Answer commands until standard input ends."""
    sys.addaudithook(refuse_others)
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        messages: list[str] = []

        def hear(event: Any, messages: list[str] = messages) -> None:
            if event.info.level in ("warn", "error"):
                messages.append(event.info.msg)

        done = dbtRunner(callbacks=[hear]).invoke(json.loads(line))
        # The file is the program's between two commands.
        DuckDBConnectionManager.close_all_connections()
        nodes = {
            each.node.unique_id: {"status": str(each.status), "message": each.message}
            for each in getattr(done.result, "results", ())
            if hasattr(each, "node")
        }
        exception = str(done.exception) if done.exception else None
        answer = {"success": done.success, "exception": exception, "nodes": nodes, "messages": messages}
        print(json.dumps(answer | {"refused": REFUSED}), file=answers, flush=True)


if __name__ == "__main__":
    main()
