"""Spark's master: is it there, and has it workers?

Source: the master's page as JSON, http://<master>:8080/json/ (MasterPage.renderJson of Spark).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opensea_metrics.deploy.doctor import web
from opensea_metrics.deploy.doctor.checks import Check, Report

report = Report("spark")


def examine(master: str, ui: str | None) -> list[Check]:
    """Ask the master; ``ui`` is its page, by default port 8080 of its host. Raises Unreachable."""
    if not master.startswith("spark://"):
        return [report.ok("master", f"{master}, in the process itself")]
    page = ui or f"http://{urlsplit(master).hostname}:8080"
    found = web.get(page, "json/")
    with web.read_from(page):
        return judge(found)


def judge(page: Mapping[str, Any]) -> list[Check]:
    """Checks of the master's page."""
    workers = [each for each in page["workers"] if each["state"] == "ALIVE"]
    dead = len(page["workers"]) - len(workers)
    found = [report.ok("reachable", f"{page['url']}, {page['status'].lower()}")]
    if not workers:
        advice = "docker compose up -d spark-worker; their log says why they do not find the master"
        return [*found, report.failed("workers", "none is alive", advice)]
    cores = sum(each["cores"] for each in workers)
    memory = sum(each["memory"] for each in workers)
    text = f"{len(workers)} alive, {cores} cores, {memory} MB for executors"
    if dead:
        return [
            *found,
            report.warning("workers", f"{text}; {dead} dead", "see the dead ones' logs"),
        ]
    return [*found, report.ok("workers", text)]
