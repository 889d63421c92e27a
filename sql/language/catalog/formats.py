"""Which columns a format can hold. Source: observed on 7.9.1 (tests/sql/catalog.yml)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import STRING, MapType, parts
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.analysis import Analysis, aggregates
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement

_KAFKA_TYPES = ("INTEGER", "BIGINT", "DOUBLE", "STRING", "BYTES")
_NESTED = ("ARRAY", "MAP", "STRUCT")
_FLAT = ("DELIMITED", "KAFKA")
_NAMED_MAPS = {
    "JSON": "JSON", "JSON_SR": "JSON", "PROTOBUF": "PROTOBUF format", "PROTOBUF_NOSR": "PROTOBUF format",
}  # fmt: skip
"""Formats whose MAPs have texts as keys, as the errors call them."""
_IN_ONE_VALUE = ("COUNT", "MAX", "MIN", "SUM", "SUM_LIST")
"""Aggregates whose state is a value of the result's type."""
_WITHOUT_NAMES = ("JSON", "KAFKA", "DELIMITED", "NONE")
"""Formats whose schemas have no names."""
_DELIMITERS = ("TAB", "SPACE")


def check_formats(statement: Statement, source: Source, properties: Mapping[str, str]) -> None:
    """Raises SqlError if a source's formats cannot hold its columns, or do not support its properties."""
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if column.role is None]
    for key in keys:
        check_key_type(statement, key)
    _check_properties(statement, source, properties)
    _check_columns(statement, source.key_format, "Key", keys)
    _check_wrapping(statement, source.value_format, values, properties)
    _check_columns(statement, source.value_format, "Value", values)


def check_key_type(statement: Statement, key: Column) -> None:
    """Raises SqlError for a key with a MAP in its type."""
    if any(isinstance(kind, MapType) for kind in parts(key.type)):
        raise SqlError(
            "Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior"
            f" due to inconsistent serialization. Key column name: `{key.name}`. Column type: {key.type}.",
            statement.place,
            "use a text or a STRUCT as the key",
            code=_code(statement),
        )


def check_state(statement: Statement, analysis: Analysis) -> None:
    """Raises SqlError for an aggregate whose state the format of the source cannot hold."""
    if analysis.source.value_format not in _FLAT:
        return
    for projection in analysis.projections:
        for call in aggregates(projection.expression):
            if str(call.this).upper() not in _IN_ONE_VALUE:
                raise SqlError(
                    "One of the functions used in the statement has an intermediate type that the value format can"
                    " not handle. Please remove the function or change the format.",
                    where(statement, call),
                    f"copy {analysis.source.name} into a stream WITH (VALUE_FORMAT='JSON') and aggregate that",
                    stage=Stage.QUERY,
                )


def _check_columns(statement: Statement, name: str, part: str, columns: Sequence[Column]) -> None:
    reason = _reason(name, columns)
    if reason is None:
        return
    shown = ", ".join(f"`{column.name}` {column.type}{' KEY' if part == 'Key' else ''}" for column in columns)
    raise SqlError(
        f"{part} format does not support schema.\nformat: {name}\n"
        f"schema: Persistence{{columns=[{shown}], features=[]}}\nreason: {reason.format(shown=shown)}",
        statement.place,
        _remedy(name, part.upper()),
        code=_code(statement),
    )


def _remedy(name: str, part: str) -> str:
    if name in _NAMED_MAPS:
        return "use a MAP<VARCHAR, …>"
    return f"choose another format: add {part}_FORMAT='JSON' to the WITH clause"


def _reason(name: str, columns: Sequence[Column]) -> str | None:
    """Why a format cannot hold columns; None if it can."""
    if name == "NONE" and columns:
        return "The 'NONE' format can only be used when no columns are defined. Got: [{shown}]"
    if name == "KAFKA":
        if len(columns) > 1:
            return "The 'KAFKA' format only supports a single field. Got: [{shown}]"
        wrong = [column.type.name for column in columns if column.type.name not in _KAFKA_TYPES]
        return f"The 'KAFKA' format does not support type '{wrong[0]}'" if wrong else None
    if name == "DELIMITED":
        nested = next((column for column in columns if column.type.name in _NESTED), None)
        if nested is not None:
            return f"The 'DELIMITED' format does not support type '{nested.type.name}', column: `{nested.name}`"
    if name in _NAMED_MAPS:
        kinds = [kind for column in columns for kind in parts(column.type)]
        if any(isinstance(kind, MapType) and kind.key != STRING for kind in kinds):
            return f"{_NAMED_MAPS[name]} only supports MAP types with STRING keys"
    return None


def _check_wrapping(
    statement: Statement, name: str, values: Sequence[Column], properties: Mapping[str, str]
) -> None:
    wrap = properties.get("WRAP_SINGLE_VALUE")
    if wrap is None:
        return
    if name in (*_FLAT, "NONE") and wrap.lower() == "true":
        raise _error(statement, f"Format '{name}' does not support 'WRAP_SINGLE_VALUE' set to 'true'.")
    if len(values) != 1:
        message = "'WRAP_SINGLE_VALUE' is only valid for single-field value schemas"
        raise _error(statement, message, "leave WRAP_SINGLE_VALUE out")


def _check_properties(statement: Statement, source: Source, properties: Mapping[str, str]) -> None:
    for part, name in (("KEY", source.key_format), ("VALUE", source.value_format)):
        nullable = f"{part}_PROTOBUF_NULLABLE_REPRESENTATION"
        if nullable in properties and not name.startswith("PROTOBUF"):
            raise _error(statement, f"Property {nullable} can only be enabled with protobuf format")
        full_names = (f"{part}_SCHEMA_FULL_NAME", f"{part}_AVRO_SCHEMA_FULL_NAME")
        if name in _WITHOUT_NAMES and any(full_name in properties for full_name in full_names):
            raise _error(statement, f"{name} does not support the following configs: [fullSchemaName]")
        delimiter = properties.get(f"{part}_DELIMITER")
        if delimiter is None:
            continue
        if name != "DELIMITED":
            raise _error(statement, f"{name} does not support the following configs: [delimiter]")
        if len(delimiter) != 1 and delimiter not in _DELIMITERS:
            raise SqlError(
                f"Configuration {part}_DELIMITER is invalid: Invalid delimiter value: '{delimiter}'."
                " Delimiter must be a single character or TAB,SPACE",
                statement.place,
                "write one character, TAB or SPACE",
                stage=Stage.PREPARE,
            )


def _code(statement: Statement) -> int:
    return 40000 if statement.starts_query else 40001


def _error(statement: Statement, message: str, hint: str | None = None) -> SqlError:
    stage = Stage.QUERY if statement.starts_query else Stage.EXECUTE
    return SqlError(message, statement.place, hint, stage=stage)
