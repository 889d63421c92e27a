"""The only place where names, texts and paths are written into ksqlDB's, DuckDB's and Spark's SQL.

Whatever a statement, a variable, a file's name, a property or a record brings along goes through one of
these functions. Each of them writes exactly one token, whatever the text contains.

Columns have a function of their own. The engines compare names without regard to case, and the lowered
SQL has columns of its own besides the user's: ``_off``, ``_failed``, ``_line`` … and DuckDB's ``rowid``.
:func:`column` gives every user's column a name that is equal to none of them, and to no other column's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opensea_metrics.core.errors import SqlError

_PLAIN = re.compile(r"[A-Z][A-Z0-9_]*")
"""Names that are kept as they are: the lowered SQL's own columns begin with an underscore."""
_ROW_NUMBER = "ROWID"
"""Each table of DuckDB has a hidden column of this name."""


def quoted(name: str) -> str:
    """A name as an identifier of DuckDB, letter by letter: of a table, a STRUCT's field, a function.

    Raises SqlError for a name that no identifier can be: '', or one with a NUL or half a surrogate pair.
    """
    return '"' + checked_name(name).replace('"', '""') + '"'


def text(value: str) -> str:
    """A string, such as a path, as a literal of DuckDB. Raises SqlError for half a surrogate pair."""
    return "'" + checked_text(value).replace("'", "''") + "'"


def ksqldb_quoted(name: str) -> str:
    """A name as an identifier of ksqlDB, letter by letter."""
    return "`" + name.replace("`", "``") + "`"


def ksqldb_text(value: str) -> str:
    """A string as a literal of ksqlDB."""
    return "'" + value.replace("'", "''") + "'"


def column(name: str) -> str:
    """A column of a statement, or a lambda's parameter, as an identifier of DuckDB. Raises SqlError as
    :func:`quoted` does."""
    return quoted(column_name(checked_name(name)))


def spark_quoted(name: str) -> str:
    """A name as an identifier of Spark, letter by letter. Raises SqlError as :func:`quoted` does."""
    return "`" + checked_name(name).replace("`", "``") + "`"


def spark_text(value: str) -> str:
    """A string as a literal of Spark. Raises SqlError for half a surrogate pair.

    A dollar sign is written as an escape, because Spark replaces ``${env:HOME}`` in the text of a query.
    """
    escaped = checked_text(value).replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"


def spark_column(name: str) -> str:
    """A column of a statement, or a lambda's parameter, as an identifier of Spark. Raises SqlError as
    :func:`quoted` does."""
    return spark_quoted(column_name(checked_name(name)))


def column_name(name: str) -> str:
    """The name that a column of a statement has in an engine's tables.

    Upper-case names without a leading underscore stay as they are. Any other name is followed by ``$`` and
    by a number whose bits say which letters are lower-case: so no two names are equal without regard to case.
    """
    if _PLAIN.fullmatch(name) and name != _ROW_NUMBER:
        return name
    lower = "".join("1" if character.islower() else "0" for character in name)
    return f"{name}${int(lower or '0', 2):x}"


def name_of_column(written: str) -> str:
    """The column's name in its statement: the inverse of :func:`column_name`."""
    return written.rpartition("$")[0] or written


def json_pointer(path: Sequence[str]) -> str:
    """The place of a field in a JSON text, as DuckDB's functions of JSON take it (RFC 6901); still to be
    written with :func:`text`."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def checked_name(name: str) -> str:
    """The name, if it can be an identifier. Raises SqlError."""
    if not name:
        raise SqlError("a name is empty", hint="give it at least one character")
    if "\0" in name:
        raise SqlError(f"a name contains the character U+0000: {_beginning(name)}", hint="choose another name")
    return checked_text(name)


def checked_text(value: str) -> str:
    """The text, if it can be written as UTF-8. Raises SqlError for half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SqlError(
            f"not Unicode: there is half a surrogate pair at position {error.start + 1} of {_beginning(value)}"
        ) from None
    return value


def _beginning(value: str) -> str:
    return repr(value[:60]) + ("…" if len(value) > 60 else "")
