"""The only place where names, texts and paths are written into ksqlDB's, DuckDB's and Spark's SQL.

Everything that comes from a statement, a variable, a file name, a property or a record goes through one
of these functions. Each function writes exactly one token, whatever the text contains.

Columns have their own function, because the engines ignore case when they compare names. The lowered SQL also
has its own columns, such as ``_off``, ``_failed`` and ``_line``, and DuckDB has ``rowid``. :func:`column` gives
every user's column a unique name. No other column has that name, not even in another case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opensea_metrics.core.errors import SqlError

_PLAIN = re.compile(r"[A-Z][A-Z0-9_]*")
"""Names that stay as they are. The lowered SQL's own columns begin with an underscore."""
_ROW_NUMBER = "ROWID"
"""Each DuckDB table has a hidden column of this name."""


def quoted(name: str) -> str:
    """A name as a DuckDB identifier, with its case kept: a table, a STRUCT's field or a function.

    Raises SqlError for a name that cannot be an identifier: '', or one with a NUL or half a surrogate pair.
    """
    return '"' + checked_name(name).replace('"', '""') + '"'


def text(value: str) -> str:
    """A string, such as a path, as a DuckDB literal. Raises SqlError for half a surrogate pair."""
    return "'" + checked_text(value).replace("'", "''") + "'"


def ksqldb_quoted(name: str) -> str:
    """A name as a ksqlDB identifier, with its case kept."""
    return "`" + name.replace("`", "``") + "`"


def ksqldb_text(value: str) -> str:
    """A string as a ksqlDB literal."""
    return "'" + value.replace("'", "''") + "'"


def column(name: str) -> str:
    """A statement's column, or a lambda's parameter, as a DuckDB identifier. Raises the same SqlErrors as
    :func:`quoted`."""
    return quoted(column_name(checked_name(name)))


def spark_quoted(name: str) -> str:
    """A name as a Spark identifier, with its case kept. Raises the same SqlErrors as :func:`quoted`."""
    return "`" + checked_name(name).replace("`", "``") + "`"


def spark_text(value: str) -> str:
    """A string as a Spark literal. Raises SqlError for half a surrogate pair.

    A dollar sign is written as an escape, because Spark replaces ``${env:HOME}`` in the text of a query.
    """
    escaped = checked_text(value).replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"


def spark_column(name: str) -> str:
    """A statement's column, or a lambda's parameter, as a Spark identifier. Raises the same SqlErrors as
    :func:`quoted`."""
    return spark_quoted(column_name(checked_name(name)))


def column_name(name: str) -> str:
    """The name that a statement's column has in an engine's tables.

    Upper-case names without a leading underscore stay as they are. Any other name gets the suffix ``$`` and a
    number. The bits of the number say which letters are lower-case. So no two names differ in case only.
    """
    if _PLAIN.fullmatch(name) and name != _ROW_NUMBER:
        return name
    lower = "".join("1" if character.islower() else "0" for character in name)
    return f"{name}${int(lower or '0', 2):x}"


def name_of_column(written: str) -> str:
    """The column's name in its statement: the inverse of :func:`column_name`."""
    return written.rpartition("$")[0] or written


def json_pointer(path: Sequence[str]) -> str:
    """The place of a field in a JSON text, as DuckDB's JSON functions expect it (RFC 6901). The caller still has to
    quote it with :func:`text`."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def checked_name(name: str) -> str:
    """Return the name if it can be an identifier. Raises SqlError otherwise."""
    if not name:
        raise SqlError("a name is empty", hint="give it at least one character")
    if "\0" in name:
        raise SqlError(f"a name contains the character U+0000: {_beginning(name)}", hint="choose another name")
    return checked_text(name)


def checked_text(value: str) -> str:
    """Return the text if it can be written as UTF-8. Raises SqlError for half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SqlError(
            f"not Unicode: there is half a surrogate pair at position {error.start + 1} of {_beginning(value)}"
        ) from None
    return value


def _beginning(value: str) -> str:
    return repr(value[:60]) + ("…" if len(value) > 60 else "")
