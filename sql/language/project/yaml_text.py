"""Reads the YAML of settings and of ``--var`` within limits.

PyYAML's parser takes time that grows with the square of the depth. Merge keys can grow by powers of two, and
Python cannot print numbers with thousands of digits. So PyYAML's scanner checks the text first. Its time is
proportional to the text's length, and it stops where the text exceeds a limit.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from opensea_metrics.core.errors import SqlError

CHARACTERS = 1 << 20
"""The largest length of a text."""
DEPTH = 50
"""The largest depth of nested lists and mappings."""
DIGITS = 1_000
"""The largest length of a number, in characters."""

_OPENING = (
    yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)  # fmt: skip
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_NUMBER = re.compile(r"[-+.0-9][-+.:_0-9a-fA-FxXoObB]*")


class NotYaml(ValueError):
    """A text is not YAML, or exceeds a limit. ``line`` and ``column`` count from 1."""

    def __init__(self, problem: str, line: int = 1, column: int = 1) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column


def read_yaml(text: str) -> Any:
    """The value of a YAML text. Raises NotYaml."""
    if len(text) > CHARACTERS:
        raise NotYaml(f"it has more than {CHARACTERS:,} characters")
    try:
        _check(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error)
        raise (_at(mark, problem) if mark else NotYaml(problem)) from error
    except NotYaml:
        raise
    except (ValueError, RecursionError) as error:  # such as the date 2026-13-01
        raise NotYaml(str(error)) from error


def _check(text: str) -> None:
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, _OPENING):
            depth += 1
        elif isinstance(token, _CLOSING):
            depth -= 1
        elif isinstance(token, yaml.ScalarToken) and token.plain:
            if token.value == "<<":
                raise _at(token.start_mark, "it has a merge key (<<): write the values without it")
            if len(token.value) > DIGITS and _NUMBER.fullmatch(token.value):
                problem = f"it has a number of more than {DIGITS:,} characters: write it in quotes"
                raise _at(token.start_mark, problem)
        if depth > DEPTH:
            problem = f"lists and mappings are nested more than {DEPTH} levels deep"
            raise _at(token.start_mark, problem)


def _at(mark: Any, problem: str) -> NotYaml:
    return NotYaml(problem, mark.line + 1, mark.column + 1)


_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS: dict[type, str] = {
    list: "a list in YAML, such as [{size: 1 HOUR}]",
    dict: "names and values in YAML, such as {a: 1}",
}


def overridden(name: str, text: str, setting: Any) -> Any:
    """The value of ``text`` for a setting, with the type of the setting's current value ``setting``.

    For a setting that is text, the text stays unchanged, even if YAML would read a number, a flag or a time. For
    lists, mappings and settings without a value (``null``), the text is read as YAML. Raises SqlError if the
    value has another type.
    """
    written = text.strip()
    match setting:
        case str():
            return text
        case bool():
            if (flag := _FLAGS.get(written.lower())) is not None:
                return flag
            raise _wrong(name, text, "true or false")
        case int():
            if _WHOLE.fullmatch(written):
                return int(written)
            raise _wrong(name, text, f"a whole number, such as {setting}")
        case float():
            if _DECIMAL.fullmatch(written):
                return float(written)
            raise _wrong(name, text, f"a number, such as {setting}")
    try:
        value = read_yaml(text)
    except NotYaml as error:
        raise SqlError(f"--var {name}: not YAML: {error.problem}") from error
    if setting is not None and type(value) is not type(setting):
        kind = _KINDS.get(type(setting), f"a {type(setting).__name__}, such as {setting}")
        raise _wrong(name, text, kind)
    return value


def _wrong(name: str, text: str, expected: str) -> SqlError:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return SqlError(f"--var {name}={shown}: '{name}' in settings.yml is {expected}")
