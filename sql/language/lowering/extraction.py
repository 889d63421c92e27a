"""Writes calls that extract parts of a text, by patterns or as JSON. This part is the same for all engines."""

from __future__ import annotations

import contextlib
import re

from sqlglot import exp

from opensea_metrics.core.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, STRING
from opensea_metrics.sql.language.lowering.amounts import Amounts
from opensea_metrics.sql.language.lowering.json_paths import names_in
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.refusals import Unsupported


class Extraction(Amounts):
    """Writes expressions with calls of REGEXP_EXTRACT, EXTRACTJSONFIELD and JSON_ARRAY_CONTAINS."""

    def _extracted(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        """The engine's own function if its results equal Java's; otherwise a Python function."""
        pattern = arguments[0]
        group = self.value(arguments[2]) if len(arguments) == 3 else None
        if isinstance(pattern, exp.Literal):
            # In ksqlDB, an unused group is NULL, and an empty one is ''. The engines return '' for both.
            text, own = str(pattern.this), None
            if group is None or not re.search(r"[?*|]|\{0", text):
                with contextlib.suppress(Unsupported):
                    own = self.regexp_extract(call, text, self.value(arguments[1]), group)
            try:
                is_pattern = table.is_pattern(text)
            except ValueError as error:
                if own is None:
                    raise self.refused(pattern, f"REGEXP_EXTRACT with {error} in its pattern") from None
                return own
            if own is not None and is_pattern:
                return own
        return self.in_python(table.REGEXP_EXTRACT, [self.value(pattern), self.value(arguments[1]), group or "0"])

    def _json_field(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        path = arguments[1]
        text = self.value(arguments[0])
        if not isinstance(path, exp.Literal):
            return self.in_python(table.JSON_FIELD, [text, self.value(path)])
        names = names_in(str(path.this))
        if names is None:
            return f"CAST(NULL AS {self.type_name(STRING)})"
        return self.json_field(text, names, lambda once: self.in_python(table.JSON_FIELD, [once, self.value(path)]))

    def _json_contains(self, call: exp.Anonymous, arguments: list[exp.Expression]) -> str:
        kind = self.type_of(arguments[1])
        if kind not in (STRING, BOOLEAN, INTEGER, BIGINT, DOUBLE):
            raise self.refused(arguments[1], f"JSON_ARRAY_CONTAINS of {kind}")
        text = self.cast(arguments[1], kind, STRING, self.value(arguments[1]))
        return self.in_python(table.JSON_ARRAY_CONTAINS, [self.value(arguments[0]), text, self.text(kind.name)])


def spans_all(pattern: str) -> bool:
    """True for a pattern from ^ to $ without alternatives that could end earlier."""
    return pattern.startswith("^") and pattern.endswith("$") and "|" not in pattern
