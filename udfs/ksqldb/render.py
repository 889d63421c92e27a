"""Renders definitions as Java sources."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from opensea_metrics.core.definition import Definition, Parameter, UdfError
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    STRING,
    ArrayType,
    KsqlType,
)
from opensea_metrics.udfs.ksqldb.adaptor import made_for
from opensea_metrics.udfs.ksqldb.java_types import annotated_schema, java_type, literal, schema_of
from opensea_metrics.udfs.ksqldb.java_values import AS_THEY_ARE
from opensea_metrics.udfs.types import declaration

PACKAGE = "pyudf.functions"
MODULE = "opensea_metrics.udfs.ksqldb.adaptor"

_CONSTANTS: dict[KsqlType, str] = {INTEGER: "int", STRING: "String", BOOLEAN: "boolean"}
_WIDENED: dict[KsqlType, tuple[KsqlType, ...]] = {
    DOUBLE: (DOUBLE, BIGINT, INTEGER),
    BIGINT: (BIGINT, INTEGER),
}
"""The Java types that a column of an aggregate may have, by its declared type."""
_WIDER: dict[KsqlType, str] = {DOUBLE: ".doubleValue()", BIGINT: ".longValue()"}
_TUPLES = {
    2: ("io.confluent.ksql.util.Pair", ("getLeft()", "getRight()")),
    3: ("io.confluent.ksql.util.Triple", ("getLeft()", "getMiddle()", "getRight()")),
    4: (
        "io.confluent.ksql.util.Quadruple",
        ("getFirst()", "getSecond()", "getThird()", "getFourth()"),
    ),
    5: (
        "io.confluent.ksql.util.Quintuple",
        ("getFirst()", "getSecond()", "getThird()", "getFourth()", "getFifth()"),
    ),
}
"""The class in which ksqlDB passes the columns of an aggregate. It cannot pass more than five."""


@dataclass(frozen=True)
class _Variant:
    """A factory of an aggregate: the Java type of its row, and its columns as expressions."""

    row: str
    schemas: tuple[str, ...]
    strict: tuple[str, ...]
    values: tuple[str, ...]


def class_name(definition: Definition) -> str:
    """TOP_BY_KEY → TopByKey."""
    return "".join(part.capitalize() for part in definition.name.split("_"))


def source(definition: Definition) -> str:
    """The Java source of a function's class. Raises UdfError if ksqlDB cannot have the function."""
    common: dict[str, Any] = {
        "package": PACKAGE,
        "module": MODULE,
        "name": definition.name,
        "kind": definition.kind,
        "class_name": class_name(definition),
        "description": " ".join(
            filter(None, (definition.description, *definition.examples.splitlines()))
        ),
        "schema": schema_of(definition.result),
        "result": declaration(_returned(definition)),
        "fits": made_for(definition),
        "java_result": java_type(definition.result),
    }
    if definition.kind == "aggregate":
        return _template("aggregate").render(
            **common,
            variants=_variants(definition),
            constants=[
                {
                    "name": c.name,
                    "variable": f"c{index}",
                    "java": _CONSTANTS[c.type],
                    "description": c.description,
                }
                for index, c in enumerate(definition.constants)
            ],
        )
    return _template("function").render(
        **common,
        parameters=[
            {
                "name": p.name,
                "java": java_type(p.type),
                "schema": annotated_schema(p.type),
                "description": p.description,
            }
            for p in definition.parameters
        ],
        strict=[f"a{i} == null" for i, p in enumerate(definition.parameters) if not p.nullable],
        values=[_argument(p.type, f"a{i}") for i, p in enumerate(definition.parameters)],
    )


def _returned(definition: Definition) -> KsqlType:
    """The type in the annotation. For a table function, it is the type of one row."""
    if definition.kind == "table" and isinstance(definition.result, ArrayType):
        return definition.result.element
    return definition.result


def harness(definitions: Sequence[Definition]) -> str:
    """The source of the class that calls the other classes, for checks."""
    return _template("harness").render(
        functions=[
            {
                "name": definition.name,
                "class_name": f"{PACKAGE}.{class_name(definition)}",
                "row": _fields(definition.parameters),
                "constants": _fields(definition.constants),
            }
            for definition in definitions
        ]
    )


def _fields(parameters: Sequence[Parameter]) -> str:
    return ", ".join(f'"A{i}", {schema_of(p.type)}' for i, p in enumerate(parameters))


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("opensea_metrics.udfs.ksqldb"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["java"] = literal
    return environment.get_template(f"{name}.java.j2")


def _argument(kind: KsqlType, expression: str) -> str:
    return expression if kind in AS_THEY_ARE else f"Values.argument({expression})"


def _variants(definition: Definition) -> list[_Variant]:
    parameters = definition.parameters
    if len(parameters) > max(_TUPLES) or not parameters:
        raise UdfError(
            f"{definition.place}: ksqlDB takes 1 to {max(_TUPLES)} columns for an aggregate,"
            f" but {definition.name} has {len(parameters)}"
        )
    choices = [_WIDENED.get(p.type, (p.type,)) for p in parameters]
    return [_variant(parameters, kinds) for kinds in itertools.product(*choices)]


def _variant(parameters: tuple[Parameter, ...], kinds: tuple[KsqlType, ...]) -> _Variant:
    if len(parameters) == 1:
        row, columns = java_type(kinds[0]), ["row"]
    else:
        tuple_name, getters = _TUPLES[len(parameters)]
        row = f"{tuple_name}<{', '.join(map(java_type, kinds))}>"
        columns = [f"row.{getter}" for getter in getters]
    values = []
    for parameter, kind, column in zip(parameters, kinds, columns, strict=True):
        value = _argument(kind, column)
        if kind != parameter.type:
            wider = f"{column}{_WIDER[parameter.type]}"
            value = f"{column} == null ? null : (Object) {wider}" if parameter.nullable else wider
        values.append(value)
    return _Variant(
        row=row,
        schemas=tuple(declaration(kind) for kind in kinds),
        strict=tuple(
            f"{column} == null"
            for parameter, column in zip(parameters, columns, strict=True)
            if not parameter.nullable
        ),
        values=tuple(values),
    )
