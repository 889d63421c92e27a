"""Lets the server check a plan, without executing any of it.

ksqlDB checks all statements of a request, one after the other in a copy of its catalog, before it executes the first
one (observed: shared/ksqldb-replies/err_multi_second_bad). So the whole plan is sent in one request, and the server
always refuses its last statement. If it refuses only that one, it would accept the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.migrations.errors import MigrationError, PlanRefused
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep, Plan
from opensea_metrics.sql.language.statements.statements import Kind

NOTHING = "OPENSEA_METRICS_DRY_RUN_ENDS_HERE"


def check_on_server(plan: Plan, client: KsqlClient) -> None:
    """Raises PlanRefused with the first statement that the server would refuse, ClientError."""
    steps = list(plan.steps)
    if not client.info().is_embedded:
        # ksqlDB searches for the target of INSERT … VALUES among the streams that exist, not in its copy.
        steps = [step for step in steps if step.statement.kind is not Kind.INSERT_VALUES]
    reason = _reason(client, steps) if steps else None
    if reason is None:
        return
    # Not every refusal names its statement. Sending fewer statements finds the first one.
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        shorter = _reason(client, steps[:middle])
        if shorter is None:
            low = middle
        else:
            high, reason = middle, shorter
    raise PlanRefused(steps[low].refusal(reason))


def _reason(client: KsqlClient, steps: Iterable[ApplyStep]) -> str | None:
    """The server's reason for refusing one of these statements, None if it would accept all."""
    text = " ".join(_with_properties(steps))
    try:
        client.ask(f"{text} DESCRIBE {NOTHING};")
    except KsqlError as error:
        return None if NOTHING in error.message else error.message
    raise MigrationError(f"the server has a stream {NOTHING}, so a dry run is impossible\n  hint: drop that stream")


def _with_properties(steps: Iterable[ApplyStep]) -> Iterable[str]:
    """The statements, with SET and UNSET where the properties change."""
    current: dict[str, str] = {}
    for step in steps:
        wanted = dict(step.record.properties)
        for name in current.keys() - wanted.keys():
            yield f"UNSET {ksqldb_text(name)};"
        for name, value in wanted.items():
            if current.get(name) != value:
                yield f"SET {ksqldb_text(name)}={ksqldb_text(value)};"
        current = wanted
        # With DELETE TOPIC, ksqlDB 7.9.1 deletes the topic of a DROP that it refuses.
        yield step.statement.without_delete_topic().text
