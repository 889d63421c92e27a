"""DESCRIBE FUNCTION: what is told of a function, built in or Python."""

from __future__ import annotations

from typing import Any

from sql import functions
from sql.errors import SqlError
from sql.statements import Statement
from udfs.definition import Definition
from udfs.types import declaration


def function_description(statement: Statement, name: str) -> dict[str, Any]:
    """The answer to DESCRIBE FUNCTION. Raises SqlError for an unknown name."""
    function = functions.find(name)
    if function is None:
        written = str(statement.ast.this.this)
        raise SqlError(f"Can't find any functions with the name '{written}'", code=40000)
    if function.definition is not None:
        return _python_function(statement, function.definition)
    arguments = [
        {
            "name": f"val{index + 1}",
            "type": _type_name(parameter.strip("[].").removesuffix("0")),
            "description": "",
            "isVariadic": parameter.endswith("..."),
        }
        for index, parameter in enumerate(function.parameters)
    ]
    return _function_description(
        statement, function.name, function.kind, function.signature, arguments, function.result
    )


def _python_function(statement: Statement, definition: Definition) -> dict[str, Any]:
    arguments = [
        {
            "name": parameter.name,
            "type": declaration(parameter.type, quote=""),
            "description": parameter.description,
            "isVariadic": False,
        }
        for parameter in (*definition.parameters, *definition.constants)
    ]
    text = "\n".join(filter(None, (definition.description, definition.examples)))
    result = declaration(definition.result, quote="")
    return _function_description(statement, definition.name, definition.kind, text, arguments, result)


def _function_description(
    statement: Statement,
    name: str,
    kind: str,
    description: str,
    arguments: list[dict[str, Any]],
    result: str,
) -> dict[str, Any]:
    return {
        "@type": "describe_function",
        "statementText": statement.text,
        "name": name,
        "description": description,
        "author": "",
        "version": "",
        "path": "internal",
        "functions": [
            {
                "arguments": arguments,
                "returnType": result,
                "description": "",
                "argumentTypes": [argument["type"] for argument in arguments],
            }
        ],
        "type": kind.upper(),
        "warnings": [],
    }


def _type_name(kind: str) -> str:
    """A type as DESCRIBE FUNCTION writes it."""
    return {"STRING": "VARCHAR", "INTEGER": "INT"}.get(kind, kind)
