"""A plan checked by the server itself, without any of it being carried out.

ksqlDB checks all statements of a request, one after the other in a copy of its catalog, before it
carries out the first (observed: shared/ksqldb-replies/err_multi_second_bad). So the whole plan is
sent in one request whose last statement is certain to be refused: if that is the one that is refused,
the others would be taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.migrations.errors import MigrationError, Refused
from opensea_metrics.deploy.migrations.plan import Plan, Step
from opensea_metrics.sql.language.statements.statements import Kind

NOTHING = "OPENSEA_METRICS_DRY_RUN_ENDS_HERE"


def check_on_server(plan: Plan, client: KsqlClient) -> None:
    """Raises Refused with the statement that the server would refuse, ClientError."""
    steps = list(plan.steps)
    if not client.info().is_embedded:
        # ksqlDB looks for the target of INSERT … VALUES among the streams that exist, not in its copy.
        steps = [each for each in steps if each.statement.kind is not Kind.INSERT_VALUES]
    if not steps:
        return
    refusal = _sent(client, steps)
    if refusal is None:
        return
    # Not every refusal names its statement: the first one is found by sending fewer of them.
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        found = _sent(client, steps[:middle])
        if found is None:
            low = middle
        else:
            high, refusal = middle, found
    step = steps[low]
    raise Refused(
        f"{step.statement.place}: the server would refuse statement {step.number} of version"
        f" {step.version} ({step.statement.kind.value} {step.statement.name}):\n  {refusal}"
    )


def _sent(client: KsqlClient, steps: Iterable[Step]) -> str | None:
    """The server's reason against one of these statements, None if it takes them all."""
    text = " ".join(_with_properties(steps))
    try:
        client.ask(f"{text} DESCRIBE {NOTHING};")
    except KsqlError as error:
        return None if NOTHING in error.message else error.message
    raise MigrationError(f"the server knows a stream {NOTHING}: nobody should make one")


def _with_properties(steps: Iterable[Step]) -> Iterable[str]:
    """The statements, with SET and UNSET where the properties change."""
    current: dict[str, str] = {}
    for step in steps:
        wanted = dict(step.properties)
        for name in current.keys() - wanted.keys():
            yield f"UNSET {ksqldb_text(name)};"
        for name, value in wanted.items():
            if current.get(name) != value:
                yield f"SET {ksqldb_text(name)}={ksqldb_text(value)};"
        current = wanted
        # With DELETE TOPIC, ksqlDB 7.9.1 deletes the topic of a DROP that it refuses.
        yield step.statement.without_delete_topic().text
