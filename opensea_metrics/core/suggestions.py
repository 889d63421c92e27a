"""Names for error messages: the one that was probably meant, and lists of a bearable length."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

# Comparing two names takes the product of their lengths in steps.
_LONGEST = 64
_MOST = 1_000
_SHOWN = 20


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, or None if none does.

    Only names of at most 64 characters are compared, and at most 1,000 of them, so that a hostile
    statement cannot make its own error message expensive.
    """
    if len(name) > _LONGEST:
        return None
    candidates = (name for name in islice(known, _MOST) if len(name) <= _LONGEST)
    return next(iter(difflib.get_close_matches(name, candidates, n=1)), None)


def listed(names: Iterable[str]) -> str:
    """Names in one line; beyond the twentieth their number only."""
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
