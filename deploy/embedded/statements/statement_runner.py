"""The statements of a request to /ksql: inserts variables, checks all statements, and carries them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.places import Lines
from opensea_metrics.core.quoting import text
from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.metastore import TopicInfo
from opensea_metrics.deploy.embedded.statements import descriptions, listings, properties, replies
from opensea_metrics.deploy.embedded.statements.assertions import asserted
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source, Topic, different
from opensea_metrics.sql.language.lowering.support import REGISTRY_FORMATS
from opensea_metrics.sql.language.project.variables import Filled, Variables, filled, pieces
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.statements.statements import Kind, Statement

_COMMANDS = {
    Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS,
    Kind.INSERT_SELECT, Kind.ALTER, Kind.DROP_STREAM, Kind.DROP_TABLE, Kind.TERMINATE, Kind.PAUSE,
    Kind.RESUME, Kind.CREATE_TYPE, Kind.DROP_TYPE,
}  # fmt: skip
_CREATING = {Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS}


@dataclass
class StatementsRequest:
    """A request to /ksql: its ``text``, the properties for its queries, and its variables."""

    text: str
    properties: dict[str, str]
    variables: dict[str, str]


@dataclass(frozen=True)
class _Prepared:
    """A statement that is ready to be carried out, with the variables that a SHOW lists."""

    statement: Statement
    variables: Mapping[str, str]


class Statements:
    """Carries out statements. ``statuses`` are the statuses of all commands so far, by command id."""

    def __init__(self, engine: Engine, host: str = "localhost:8088") -> None:
        """``host`` is the server's host and port, which replies about queries name."""
        self._engine = engine
        self._host = host
        self.statuses: dict[str, dict[str, Any]] = {}

    def run(self, request: StatementsRequest) -> tuple[Any, int]:
        """Carry out the statements of a request. Returns the reply and the HTTP status."""
        current: Statement | str = request.text
        entities: list[dict[str, Any]] = []
        try:
            properties.check(request.properties)
            prepared = list(self._prepared(request, entities))
            kinds = {item.statement.kind for item in prepared}
            changing = bool(kinds & {*_COMMANDS, Kind.INSERT_VALUES})
            # In one turn, so that the checks still hold when the statements are carried out.
            with self._engine.turn() if changing else nullcontext():
                catalog = self._engine.catalog
                topics = self._engine.topics() if kinds & _CREATING else {}
                # Check all statements before any is carried out, as ksqlDB does.
                for number, item in enumerate(prepared):
                    current = item.statement
                    # Only the first query has the id here that it gets. The other ids must only be unique.
                    command = 10**12 + number if number else self._engine.last_command + 1
                    catalog = self._checked(item.statement, catalog, topics, command)
                    if not number:
                        after_first = catalog
                for inserts, items in groupby(enumerate(prepared), _is_insert):
                    if inserts:
                        together = [item.statement for _, item in items]
                        current = together[0]
                        self._engine.insert_values(together)
                        continue
                    for number, item in items:
                        current = item.statement
                        after = None if number else after_first
                        if entity := self._statement(item, request.properties, after):
                            entities.append(entity)
        except SqlError as error:
            return self._refusal(current, request.text, error)
        except Exception as error:
            failed = SqlError(failures.logged(error, "a statement"), code=50000)
            return self._refusal(current, request.text, failed)
        return entities, 200

    @staticmethod
    def _refusal(current: Statement | str, request: str, error: SqlError) -> tuple[Any, int]:
        creates = False
        text = request
        if isinstance(current, Statement):
            text = current.text
            creates = current.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)
        if error.stage is Stage.SYNTAX:
            text = request
        return replies.error(text, error, creates)

    def _prepared(self, request: StatementsRequest, entities: list[dict[str, Any]]) -> Iterator[_Prepared]:
        """The statements of a request, one after the other, with the values of variables inserted."""
        variables = Variables(request.variables)
        lines = Lines(request.text, "statement")
        for piece in pieces(request.text):

            def written(offset: int, start: int = piece.start) -> Place:
                return lines.place(start + offset)

            part = filled(piece.text, variables, written)

            def place(offset: int, part: Filled = part, start: int = piece.start) -> Place:
                return lines.place(start + part.origin(offset))

            for statement in parse_script(part.text, "statement", place):
                if statement.kind is Kind.DEFINE:
                    variables.define(
                        str(statement.ast.this.this), str(statement.ast.args["value"].this)
                    )
                elif statement.kind is Kind.UNDEFINE:
                    name = str(statement.ast.this.this)
                    if not variables.undefine(name):
                        message = f"Cannot undefine variable '{name}' which was never defined"
                        entities.append(replies.warning(statement, message))
                else:
                    shown = dict(variables) if statement.kind is Kind.SHOW else {}
                    yield _Prepared(statement, shown)

    def _checked(
        self,
        statement: Statement,
        catalog: Catalog,
        topics: dict[str, TopicInfo],
        number: int,
    ) -> Catalog:
        """The catalog after a statement. Raises SqlError if it will be refused."""
        if statement.kind in (Kind.SELECT, Kind.PRINT):
            raise SqlError(
                "The following statement types should be issued to the websocket endpoint "
                "'/query':\n\t* PRINT\n\t* SELECT",
                code=40002,
            )
        if statement.kind in (Kind.PAUSE, Kind.RESUME):
            return catalog
        if statement.kind is Kind.CONNECTOR:
            raise listings.no_connect()
        if statement.kind is Kind.DESCRIBE and not statement.ast.args["function"]:
            descriptions.described(catalog, statement)
        after = applied(catalog, statement, number)
        self._engine.check(statement, catalog, after)
        source = after.sources.get(statement.name or "")
        if source is not None and statement.name not in catalog.sources:
            _check_topic(statement, source, topics)
            if source.is_table and source.window is None and "RETENTION_MS" in statement.properties:
                raise SqlError(
                    "Invalid config variable in the WITH clause: RETENTION_MS. Non-windowed tables do not support"
                    " retention.",
                    code=40000,
                )
        return after

    def _statement(
        self, prepared: _Prepared, given: dict[str, str], after: Catalog | None
    ) -> dict[str, Any] | None:
        statement = prepared.statement
        if statement.kind in (Kind.SET, Kind.UNSET):
            name = str(statement.ast.this.this)
            given.pop(name, None)
            if statement.kind is Kind.SET:
                given[name] = str(statement.ast.args["value"].this)
            return None
        if statement.kind in _COMMANDS:
            outcome = self._engine.execute(statement, given, after)
            if statement.keeps_existing and "already exists" in outcome.message:
                return replies.warning(statement, outcome.message)
            entity = replies.current_status(statement, outcome)
            self.statuses[entity["commandId"]] = entity["commandStatus"]
            return entity
        cursor = self._engine.cursor()
        try:
            match statement.kind:
                case Kind.SHOW:
                    return listings.listing(
                        self._engine, cursor, statement, prepared.variables, given, self._host
                    )
                case Kind.DESCRIBE:
                    return descriptions.description(self._engine, cursor, statement)
                case Kind.ASSERT:
                    return asserted(self._engine, cursor, statement)
                case _:
                    return descriptions.explanation(self._engine, cursor, statement, given, self._host)
        finally:
            cursor.close()


def _is_insert(numbered: tuple[int, _Prepared]) -> bool:
    return numbered[1].statement.kind is Kind.INSERT_VALUES


def _check_topic(statement: Statement, source: Source, topics: dict[str, TopicInfo]) -> None:
    """Check that the topic of a new source exists or can be created, and add it to ``topics``. Raises SqlError."""
    if needs := {source.value_format, source.key_format} & REGISTRY_FORMATS:
        raise SqlError(
            f"Cannot create topic '{source.topic}' with format {needs.pop()} without configuring "
            "'ksql.schema.registry.url'",
            code=42801,
        )
    known = topics.setdefault(
        source.topic, TopicInfo(source.topic, source.partitions, source.replicas)
    ) if statement.starts_query or "PARTITIONS" in statement.properties else topics.get(source.topic)
    if known is None:
        kind = "TABLE" if source.is_table else "STREAM"
        columns = ", ".join(
            f"{c.name} {c.type}{f' {c.role}' if c.role else ''}" for c in source.columns
        )
        written = {**statement.properties, "KEY_FORMAT": source.key_format, "PARTITIONS": "2"}
        listed = ", ".join(
            f"{name}={value if name == 'PARTITIONS' else text(value)}"
            for name, value in sorted(written.items())
        )
        raise SqlError(
            f"Topic '{source.topic}' does not exist. If you want to create a new topic for the "
            "stream/table please re-run the statement providing the required 'PARTITIONS' configuration "
            "in the WITH clause (and optionally 'REPLICAS'). For example: "
            f"CREATE {kind} {source.name} ({columns}) WITH ({listed});",
            code=40000,
        )
    is_said = "PARTITIONS" in statement.properties
    if not known.is_declared and (not is_said or source.partitions >= known.partitions):
        partitions = max(source.partitions, known.partitions)
        topics[source.topic] = TopicInfo(source.topic, partitions, source.replicas)
    elif is_said and known.partitions != source.partitions:
        file = "" if known.is_declared else (
            f"\nThe file {known.file} is of partition {known.partitions - 1}. Declare"
            f" PARTITIONS={known.partitions}, or move such files out of the topic's directory."
        )
        wanted, there = Topic(source.partitions, source.replicas), Topic(known.partitions, known.replicas)
        raise different(source.topic, wanted, there, None, file)
