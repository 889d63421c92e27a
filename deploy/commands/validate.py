"""validate: checks all files, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from opensea_metrics.core.errors import SqlError, together
from opensea_metrics.deploy.commands.site import Variables, checked
from opensea_metrics.deploy.migrations.plan.steps import check_has_statements, steps_of
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.statements.statements import Statement


@dataclass(frozen=True)
class Validation:
    """The result of a check of the files; ``unsupported``: the features that only ksqlDB has."""

    root: Path
    migrations: int
    statements: int
    unsupported: tuple[Unsupported, ...] = ()


def validate(
    root: Path | None = None, variables: Variables | None = None, for_embedded: bool = False
) -> Validation:
    """Render and check every statement, without a server.

    Raises SqlErrors with all errors, also for files without statements. With ``for_embedded``, features that only
    ksqlDB has are errors too.
    """
    # Imported here, because it takes long, and other verbs do not need it.
    from opensea_metrics.sql.language.lowering import support

    unsupported: list[Unsupported] = []

    def support_of(before: Catalog, statement: Statement, after: Catalog) -> None:
        try:
            support.check_statement(before, statement, after)
            support.check_registry(before, statement, after)
        except Unsupported as error:
            unsupported.append(error)

    try:
        project = checked(root, variables, support_of)
    except SqlError as error:
        raise together([error, *(unsupported if for_embedded else ())]) from None
    if for_embedded and unsupported:
        raise together(unsupported)
    for file in project.migrations:
        check_has_statements(file)
    statements = [steps_of(file) for file in project.migrations]
    return Validation(project.root, len(statements), sum(map(len, statements)), tuple(unsupported))
