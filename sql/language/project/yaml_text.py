"""YAML of settings and of ``--var``, read within limits.

PyYAML's parser takes time by the square of the depth, merge keys grow by powers of two, and numbers
of thousands of digits are no text in Python. So PyYAML's scanner looks at the text first: its time is
in proportion to the text, and it stops at the first excess.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

CHARACTERS = 1 << 20
"""The longest text."""
DEPTH = 50
"""Lists and mappings that may stand inside each other."""
DIGITS = 1_000
"""Characters of the longest number."""

_OPENING = (
    yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)  # fmt: skip
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_NUMBER = re.compile(r"[-+.0-9][-+.:_0-9a-fA-FxXoObB]*")


class NotYaml(ValueError):
    """A text is not YAML, or exceeds a limit; ``line`` and ``column`` count from 1."""

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
                raise _at(token.start_mark, "it has a merge key (<<): write the values out")
            if len(token.value) > DIGITS and _NUMBER.fullmatch(token.value):
                problem = f"it has a number of more than {DIGITS:,} characters: write it in quotes"
                raise _at(token.start_mark, problem)
        if depth > DEPTH:
            problem = f"lists and mappings are nested more than {DEPTH} levels deep"
            raise _at(token.start_mark, problem)


def _at(mark: Any, problem: str) -> NotYaml:
    return NotYaml(problem, mark.line + 1, mark.column + 1)
