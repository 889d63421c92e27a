"""Spark's master: does it answer, and does it have workers?

Source: the master's page as JSON, http://<master>:8080/json/ (MasterPage.renderJson of Spark).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opensea_metrics.deploy.doctor import web
from opensea_metrics.deploy.doctor.checks import Check, Checker

report = Checker("spark")


def examine(master: str, ui: str | None) -> list[Check]:
    """Ask the master. ``ui`` is its page, by default port 8080 of its host. Raises Unreachable."""
    if not master.startswith("spark://"):
        return [report.ok("master", f"{master} runs in the command's own process")]
    page = ui or f"http://{urlsplit(master).hostname}:8080"
    content = web.get(page, "json/")
    with web.read_from(page):
        return judge(content)


def judge(page: Mapping[str, Any]) -> list[Check]:
    """Checks of the master's page."""
    workers = [worker for worker in page["workers"] if worker["state"] == "ALIVE"]
    dead = len(page["workers"]) - len(workers)
    checks = [report.ok("reachable", f"{page['url']}, {page['status'].lower()}")]
    if not workers:
        advice = "docker compose up -d spark-worker; their logs say why they do not reach the master"
        return [*checks, report.failed("workers", "none is alive", advice)]
    cores = sum(worker["cores"] for worker in workers)
    memory = sum(worker["memory"] for worker in workers)
    text = f"{len(workers)} alive, {cores} cores, {memory} MB for executors"
    if dead:
        return [
            *checks,
            report.warning("workers", f"{text}; {dead} dead", "look at the logs of the dead workers"),
        ]
    return [*checks, report.ok("workers", text)]
