"""Kafka Connect: does it answer, and do its connectors and their tasks run?

Source: https://docs.confluent.io/platform/7.9/connect/references/restapi.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.doctor import web
from opensea_metrics.deploy.doctor.checks import Check, Checker

# The connectors of deploy/compose/connect/connectors → their output.
EXPECTED = {
    "s3-raw-events": "the archive",
    "cassandra-global-metrics": "the global_metrics table in Cassandra",
    "cassandra-collections-metrics": "the collections_metrics table in Cassandra",
}
report = Checker("connect")


def examine(url: str) -> list[Check]:
    """Ask the worker at ``url``. Raises Unreachable."""
    root = web.get(url, "")
    connectors = web.get(url, "connectors?expand=status")
    with web.read_from(url):
        return judge(root, connectors)


def judge(root: Mapping[str, Any], connectors: Mapping[str, Any]) -> list[Check]:
    """Checks of the replies to ``GET /`` and ``GET /connectors?expand=status``."""
    checks = [report.ok("reachable", f"version {root.get('version', 'unknown')}")]
    for name in sorted(connectors):
        checks.append(_connector(name, connectors[name]["status"]))
    for name, purpose in EXPECTED.items():
        if name not in connectors:
            checks.append(
                report.warning(
                    name,
                    f"not registered, so {purpose} gets no data",
                    "docker compose up connectors registers it; ignore this if you do not want it",
                )
            )
    return checks


def _connector(name: str, status: Mapping[str, Any]) -> Check:
    state = status["connector"]["state"]
    tasks = status.get("tasks", [])
    broken = [task for task in tasks if task["state"] == "FAILED"]
    if state == "FAILED" or broken:
        trace = (broken[0] if broken else status["connector"]).get("trace", "")
        reason = trace.strip().splitlines()[0] if trace.strip() else "without a reason"
        causes = [line for line in trace.splitlines() if line.startswith("Caused by: ")]
        return report.failed(
            name,
            f"{len(broken)} of {len(tasks)} tasks failed: {causes[-1] if causes else reason}",
            "fix the cause, then POST"
            f" /connectors/{name}/restart?includeTasks=true&onlyFailed=true to Connect;"
            " the connector resumes where it stopped",
        )
    if state in ("PAUSED", "STOPPED"):
        return report.warning(
            name, state.lower(), f"if nobody meant to stop it, PUT /connectors/{name}/resume to Connect"
        )
    waiting = [task for task in tasks if task["state"] != "RUNNING"]
    if state != "RUNNING" or waiting or not tasks:
        return report.warning(
            name,
            f"{state.lower()}, {len(tasks) - len(waiting)} of {len(tasks)} tasks run",
            "it is being started or moved: check again in a minute, then look at Connect's log",
        )
    return report.ok(name, f"running, {counted(len(tasks), 'task')}")
