"""Runs files of tests in SQL: the verb ``test``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import OpenSeaMetricsError, Place
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands.site import Variables
from opensea_metrics.deploy.sqltests import cases, runner
from opensea_metrics.deploy.sqltests.embedded import EmbeddedTarget
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.deploy.sqltests.runner import CaseResult
from opensea_metrics.deploy.sqltests.server import ServerTarget
from opensea_metrics.deploy.sqltests.targets import Target
from opensea_metrics.sql.language.project.project import (
    Project,
    find_root,
    load_project,
    load_settings,
)

Choice = KsqlClient | str
"""A server, or the name of an engine of this process: embedded or spark."""


def run_tests(
    paths: Sequence[Path],
    choice: Choice = "embedded",
    root: Path | None = None,
    variables: Variables | None = None,
    report: Callable[[CaseResult], None] = lambda _: None,
    patience: float = 30.0,
) -> tuple[str, tuple[CaseResult, ...]]:
    """Run the cases of files and folders; returns the engine that ran them, and their results.

    ``report`` is called after each case. ``patience``: seconds until the effects of an INSERT must appear on a
    server. A file that cannot be read as cases is one failed result. Raises CaseFileError for a path without cases.
    """
    root = root or find_root()
    settings = load_settings(root, variables or {})
    files = [_loaded(path, root, settings) for path in cases.files_of(paths)]

    @cache
    def project() -> Project:
        return load_project(root, variables)

    evaluator = Evaluator()
    target = _target(choice, evaluator, patience)
    results = []
    try:
        for loaded in files:
            if isinstance(loaded, CaseResult):
                results.append(loaded)
                report(loaded)
                continue
            for case in loaded:
                results.append(runner.run(case, target, project, evaluator))
                report(results[-1])
    finally:
        target.close()
        evaluator.close()
    return target.engine, tuple(results)


def _loaded(path: Path, root: Path, settings: Mapping[str, Any]) -> tuple[cases.Case, ...] | CaseResult:
    """The cases of a file, or a failed result if the file cannot be read as cases."""
    try:
        return cases.load(path, root, settings)
    except OpenSeaMetricsError as error:
        whole = cases.Case("the whole file", Place(str(path), 1, 1))
        return CaseResult(whole, runner.failure_of(error, whole.place))


def _target(choice: Choice, evaluator: Evaluator, patience: float) -> Target:
    if isinstance(choice, KsqlClient):
        return ServerTarget(choice, patience)
    if choice == "spark":
        from opensea_metrics.deploy.sqltests.spark import SparkTarget  # slow to import

        return SparkTarget(evaluator)
    return EmbeddedTarget()
