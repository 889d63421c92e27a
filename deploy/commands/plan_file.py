"""Plans as JSON, for programs and for ``apply --plan``.

A plan file holds everything that its execution needs. So a reviewed plan can be applied unchanged, also on another
machine. It holds no secrets except those in statements. docs/migrations.md describes the keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import Place, SqlError, os_reason
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    Reversibility,
    VersionPlan,
    planned,
)
from opensea_metrics.deploy.migrations.record.records import (
    StatementState,
    VersionRecord,
    VersionState,
    row_of,
    statement_of,
)
from opensea_metrics.sql.language.catalog.upgrade import Change, Difference
from opensea_metrics.sql.language.statements.parser import parse_statement

FORMAT = 3


def to_json(plan: Plan, sentence: Callable[[ApplyStep], str]) -> dict[str, Any]:
    """The plan as a JSON object.

    ``sentence`` describes a step's effect on data for people. :func:`read` ignores this text.
    """
    return {
        "format": FORMAT,
        "basis": plan.basis,
        "migrations": [
            {
                "version": version.version,
                "name": version.name,
                "checksum": version.record.checksum,
                "rendered": version.record.rendered,
                "done": version.done,
                "reversible": version.reversible,
                "side_by_side": version.side_by_side,
                "steps": [{**_step_to_json(step), "data": sentence(step)} for step in version.steps],
            }
            for version in plan.versions
        ],
    }


def read(path: Path) -> Plan:
    """A plan that ``plan --json`` wrote. Raises MigrationError if the file is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise MigrationError(f"{path} was written by another version of this tool\n  hint: make a new plan")
        return Plan(tuple(map(_version_of, content["migrations"])), content["basis"])
    except OSError as error:
        raise MigrationError(f"cannot read {path}: {os_reason(error)}") from error
    except (ValueError, LookupError, TypeError, SqlError) as error:
        raise MigrationError(
            f"{path} is not a plan: {error}\n  hint: make one with plan --json > {path}"
        ) from error


def _version_of(value: dict[str, Any]) -> VersionPlan[ApplyStep]:
    version, state, rendered = value["version"], VersionState.RUNNING, value["rendered"]
    return VersionPlan(
        VersionRecord(version, value["name"], state, value["checksum"], rendered=rendered),
        tuple(_step_of(version, step) for step in value["steps"]),
        value["done"],
        Reversibility(value["reversible"]),
        value["side_by_side"],
    )


def _step_to_json(step: ApplyStep) -> dict[str, Any]:
    statement, record, impact = step.statement, step.record, step.impact
    unfinished = {"unfinished": row_of(record)} if record.state is StatementState.RUNNING else {}
    return {
        "number": record.number,
        "kind": statement.kind.value,
        "name": statement.name,
        "reads": list(statement.reads),
        "topic": statement.topic,
        "verdict": impact.verdict,
        "clause": impact.clause,
        "reason": impact.reason,
        "effect": impact.effect,
        "effect_topic": impact.topic,
        "topic_existed": impact.topic_existed,
        "subject": impact.subject,
        "changes": [[change.clause, change.description, change.difference.name] for change in impact.changes],
        "place": [statement.place.file, statement.place.line, statement.place.column],
        "statement": statement.text,
        "properties": dict(record.properties),
        "logical": record.logical,
        "awaits": list(record.awaits),
        **unfinished,
    }


def _step_of(version: int, value: dict[str, Any]) -> ApplyStep:
    statement = replace(parse_statement(value["statement"]), place=Place(*value["place"]))
    row = {name.upper(): text for name, text in value.get("unfinished", {}).items()}
    properties = tuple(sorted(value["properties"].items()))
    record = planned(statement, version, value["number"], properties)
    record = statement_of(row) if row else replace(record, logical=value["logical"], awaits=tuple(value["awaits"]))
    changes = [Change(clause, description, None, Difference[name]) for clause, description, name in value["changes"]]
    return ApplyStep(
        statement,
        record,
        Impact(
            Verdict(value["verdict"]),
            DataEffect(value["effect"]),
            value["clause"],
            value["reason"],
            value["effect_topic"],
            value["topic_existed"],
            value["subject"],
            tuple(changes),
        ),
    )
