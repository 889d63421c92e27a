"""DESCRIBE FUNCTION: the description of a built-in or Python function."""

from __future__ import annotations

from typing import Any

from opensea_metrics.core.definition import Definition
from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED, Unsupported
from opensea_metrics.sql.language.lowering.runnable import runnable, runnable_variations
from opensea_metrics.sql.language.statements.statements import Statement
from opensea_metrics.udfs.types import declaration


def function_description(statement: Statement, name: str) -> dict[str, Any]:
    """The answer to DESCRIBE FUNCTION, with the variations that the embedded server runs.

    Raises SqlError for an unknown name, Unsupported for a function that only ksqlDB runs.
    """
    function = functions.find(name)
    if function is None:
        written = str(statement.ast.this.this)
        raise SqlError(f"Can't find any functions with the name '{written}'", code=40000)
    if function.name not in runnable():
        raise Unsupported(function.name, EMBEDDED, statement.place)
    if function.definition is not None:
        return _python_function(statement, function.definition)
    variations = runnable_variations(function)
    described = [
        ([_argument(p, n) for n, p in enumerate(v.text.split(), 1)], _spaced(v.result_text))
        for v in variations
    ]
    return _function_description(statement, function.name, function.kind, "", described)


def _argument(parameter: str, number: int) -> dict[str, Any]:
    written = parameter.removeprefix("#").removesuffix("...")
    return {
        "name": f"val{number}",
        "type": _spaced(written),
        "description": "",
        "isVariadic": parameter.endswith("..."),
    }


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
    described = [(arguments, result)]
    return _function_description(statement, definition.name, definition.kind, text, described)


def _function_description(
    statement: Statement,
    name: str,
    kind: str,
    description: str,
    variations: list[tuple[list[dict[str, Any]], str]],
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
            for arguments, result in variations
        ],
        "type": kind.upper(),
        "warnings": [],
    }


def _spaced(kind: str) -> str:
    """A type of :mod:`sql.language.functions.builtin` as DESCRIBE FUNCTION writes it."""
    if kind.startswith("("):
        parameters, _, result = kind.partition("=>")
        return f"LAMBDA {parameters.replace(',', ', ')} => {result}"
    return kind.replace(",", ", ").replace(":", " ").replace("<TOP>", "<S>")
