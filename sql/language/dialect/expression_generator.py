"""AST → text of expressions and types: the inverse of the parser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlglot import exp, generator

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text


class ExpressionGenerator(generator.Generator):
    """Writes expressions and types as the parser reads them."""

    NORMALIZE_FUNCTIONS = False
    TYPE_MAPPING: ClassVar[dict[Any, str]] = {
        exp.DType.TEXT: "STRING",
        exp.DType.VARCHAR: "VARCHAR",
        exp.DType.VARBINARY: "BYTES",
    }

    def datatype_sql(self, expression: exp.DataType) -> str:
        """A type. A STRUCT without fields is written ``< >``, because ``<>`` is an operator."""
        if expression.this == exp.DType.STRUCT and not expression.expressions:
            return "STRUCT< >"
        return super().datatype_sql(expression)

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        """A call, with the function's name as the user wrote it."""
        return f"{expression.this}({self._list(expression.expressions)})"

    def trycast_sql(self, expression: exp.TryCast) -> str:
        """``CAST(…)``, which returns NULL if the cast fails."""
        return f"CAST({self.sql(expression, 'this')} AS {self.sql(expression, 'to')})"

    def array_sql(self, expression: exp.Array) -> str:
        """``ARRAY[…]``."""
        return f"ARRAY[{self._list(expression.expressions)}]"

    def bracket_sql(self, expression: exp.Bracket) -> str:
        """An element of an array or a map."""
        return f"{self.sql(expression, 'this')}[{self._list(expression.expressions)}]"

    def dot_sql(self, expression: exp.Dot) -> str:
        """A field of a struct."""
        return f"{self.sql(expression, 'this')}->{self.sql(expression, 'expression')}"

    def lambda_sql(self, expression: exp.Lambda, arrow_sep: str = "=>", wrap: bool = True) -> str:
        """``x => …`` or ``(x, y) => …``."""
        parameters = self._list(expression.expressions)
        several = f"({parameters})" if len(expression.expressions) > 1 else parameters
        return f"{several} {arrow_sep} {self.sql(expression, 'this')}"

    def propertyeq_sql(self, expression: exp.PropertyEQ) -> str:
        """An entry of ``MAP(…)`` or ``STRUCT(…)``."""
        return f"{self.sql(expression, 'this')} := {self.sql(expression, 'expression')}"

    def not_sql(self, expression: exp.Not) -> str:
        """``NOT …``. An operator with a negated form gets the NOT inside."""
        inner = expression.this
        if isinstance(inner, exp.Is):
            return f"{self.sql(inner, 'this')} IS NOT {self.sql(inner, 'expression')}"
        if isinstance(inner, exp.In):
            return f"{self.sql(inner, 'this')} NOT IN ({self._list(inner.expressions)})"
        if isinstance(inner, exp.Between):
            return f"{self.sql(inner, 'this')} NOT {self._bounds(inner)}"
        return f"NOT {self.sql(inner)}"

    def in_sql(self, expression: exp.In) -> str:
        """``… IN (…)``."""
        return f"{self.sql(expression, 'this')} IN ({self._list(expression.expressions)})"

    def between_sql(self, expression: exp.Between) -> str:
        """``… BETWEEN … AND …``."""
        return f"{self.sql(expression, 'this')} {self._bounds(expression)}"

    def literal_sql(self, expression: exp.Literal) -> str:
        """A number as the user wrote it, or a text."""
        value = str(expression.this)
        return ksqldb_text(value) if expression.is_string else value

    def identifier_sql(self, expression: exp.Identifier) -> str:
        """A name. It is in backticks if the user quoted it."""
        name = str(expression.this)
        return ksqldb_quoted(name) if expression.args.get("quoted") else name

    def _bounds(self, between: exp.Expression) -> str:
        return f"BETWEEN {self.sql(between, 'low')} AND {self.sql(between, 'high')}"

    def _list(self, expressions: Iterable[exp.Expression]) -> str:
        return ", ".join(self.sql(item) for item in expressions)
