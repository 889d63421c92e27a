"""EXPLAIN: the steps of a query, as an execution plan and as a topology.

A real server shows the processors of Kafka Streams here. This server has none, so it names its own steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opensea_metrics.core.wording import counted
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.analysis import Analysis, table_calls


@dataclass(frozen=True)
class PlanStep:
    """A step of a query: what it does, and to what."""

    name: str
    detail: str


def execution_plan(analysis: Analysis, columns: Sequence[Column], sink: Source | None) -> str:
    """The steps, the last one first. Each line is indented more than the line before it."""
    last = [PlanStep("SINK", f"Schema: {_schema(columns)} | Topic: {sink.topic}")] if sink else []
    project = PlanStep("PROJECT", f"Schema: {_schema(columns)}")
    sources = [PlanStep("SOURCE", f"Schema: {_schema(source.columns)} | Topic: {source.topic}")
               for source in reversed(analysis.sources)]  # fmt: skip
    steps = [*last, project, *reversed(_steps(analysis)), *sources]
    return "".join(f"{depth * 2 * chr(9)} > [ {step.name} ] | {step.detail}\n" for depth, step in enumerate(steps))


def topology(analysis: Analysis, sink: Source | None) -> str:
    """The steps in the order in which a record passes them, and the topics at both ends."""
    sources = [f"{source.name} (topics: [{source.topic}])" for source in analysis.sources]
    lines = [f"    Source: {source}" for source in sources]
    lines += [f"    Step: {step.name.lower()} ({step.detail})" for step in _steps(analysis)]
    lines += ["    Step: project"]
    if sink is not None:
        lines.append(f"    Sink: {sink.name} (topic: {sink.topic})")
    return "\n      --> ".join(["Topologies:\n   Sub-topology: 0\n" + "\n".join(lines[: len(sources)]),
                                *(line.strip() for line in lines[len(sources) :])]) + "\n\n"  # fmt: skip


def _steps(analysis: Analysis) -> list[PlanStep]:
    """The steps between the sources and the projection."""
    steps = [
        PlanStep(f"{step.side} JOIN", f"{source.name} on {_key(step.is_foreign)}")
        for step, source in zip(analysis.joins, analysis.joined, strict=True)
    ]
    if analysis.where is not None:
        steps.append(PlanStep("FILTER", "the condition of WHERE"))
    calls = [call for projection in analysis.projections for call in table_calls(projection.expression)]
    if calls:
        steps.append(PlanStep("FLATMAP", ", ".join(str(call.this).upper() for call in calls)))
    if analysis.partition:
        steps.append(PlanStep("PARTITION_BY", counted(len(analysis.partition), "expression")))
    if analysis.group:
        steps.append(PlanStep("GROUP_BY", counted(len(analysis.group), "expression")))
    if analysis.is_aggregation:
        window = analysis.window
        steps.append(PlanStep("AGGREGATE", f"{window.kind} windows" if window else "one row for each key"))
    if analysis.having is not None:
        steps.append(PlanStep("FILTER", "the condition of HAVING"))
    if analysis.emit == "FINAL":
        steps.append(PlanStep("SUPPRESS", "until the window closes"))
    return steps


def _key(is_foreign: bool) -> str:
    return "a foreign key" if is_foreign else "the key"


def _schema(columns: Sequence[Column]) -> str:
    return ", ".join(f"{c.name} {c.type}{' KEY' if c.is_key else ''}" for c in columns)
