"""Plans as JSON, for people's programs and for ``apply --plan``.

A plan holds everything that carrying it out needs, so that what was looked at is what is applied,
also on another machine. It holds no secrets but those that statements do.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import Place, SqlError, os_reason
from opensea_metrics.deploy.migrations import ledger
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.impact import Impact, Verdict
from opensea_metrics.deploy.migrations.plan import MigrationPlan, Plan, Step
from opensea_metrics.sql.language.statements.parser import parse_statement

FORMAT = 2


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as an object of JSON."""
    return {
        "format": FORMAT,
        "basis": plan.basis,
        "migrations": [
            {
                "version": each.version,
                "name": each.name,
                "checksum": each.checksum,
                "rendered": each.rendered,
                "done": each.done,
                "reversible": each.reversible,
                "side_by_side": each.side_by_side,
                "steps": [_step_to_json(step) for step in each.steps],
            }
            for each in plan.migrations
        ],
    }


def read(path: Path) -> Plan:
    """A plan that ``plan --json`` has written. Raises MigrationError if the file is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise MigrationError(f"{path} was written by another version of this tool: plan again")
        return Plan(
            tuple(
                MigrationPlan(
                    each["version"],
                    each["name"],
                    each["checksum"],
                    each["rendered"],
                    each["done"],
                    tuple(_step_of(each["version"], step) for step in each["steps"]),
                    each["reversible"],
                    each["side_by_side"],
                )
                for each in found["migrations"]
            ),
            found["basis"],
        )
    except OSError as error:
        raise MigrationError(f"cannot read {path}: {os_reason(error)}") from error
    except (ValueError, LookupError, TypeError, SqlError) as error:
        raise MigrationError(
            f"{path} is no plan: {error}\n  hint: make one with plan --json > {path}"
        ) from error


def _step_to_json(step: Step) -> dict[str, Any]:
    statement, impact = step.statement, step.impact
    found = {
        "number": step.number,
        "kind": statement.kind.value,
        "name": statement.name,
        "reads": list(statement.reads),
        "topic": statement.topic,
        "verdict": str(impact.verdict),
        "data": impact.data,
        "clause": impact.clause,
        "reason": impact.reason,
        "place": [statement.place.file, statement.place.line, statement.place.column],
        "statement": statement.text,
        "properties": dict(step.properties),
        "logical": step.logical,
        "awaits": list(step.awaits),
    }
    if step.unfinished is not None:
        found["unfinished"] = ledger.statement_row(step.unfinished)
    return found


def _step_of(version: int, found: dict[str, Any]) -> Step:
    file, line, column = found["place"]
    statement = replace(parse_statement(found["statement"]), place=Place(file, line, column))
    unfinished = None
    if "unfinished" in found:
        row = {name.upper(): value for name, value in found["unfinished"].items()}
        unfinished = ledger.statement_of(row)
    return Step(
        version=version,
        number=found["number"],
        statement=statement,
        properties=tuple(sorted(found["properties"].items())),
        unfinished=unfinished,
        impact=Impact(
            Verdict(found["verdict"]), found["data"], found["clause"], found["reason"]
        ),
        logical=found["logical"],
        awaits=tuple(found["awaits"]),
    )
