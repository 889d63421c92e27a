"""Names for error messages: the one that the user probably meant, and lists of limited length."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

# Comparing two names takes a number of steps proportional to the product of their lengths.
_LONGEST = 64
_MOST = 1_000
_SHOWN = 20


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to ``name``, or None if none is similar.

    At most 1,000 names of at most 64 characters are compared. So a hostile statement cannot make its own
    error message expensive.
    """
    if len(name) > _LONGEST:
        return None
    candidates = (name for name in islice(known, _MOST) if len(name) <= _LONGEST)
    return next(iter(difflib.get_close_matches(name, candidates, n=1)), None)


def listed(names: Iterable[str]) -> str:
    """Names in one line. After the twentieth name, only the number of further names."""
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
