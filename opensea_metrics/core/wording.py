"""Parts of messages: the name that the user probably meant, lists of limited length, and counted nouns."""

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


def counted(count: int, noun: str) -> str:
    """A number with a noun, whose plural ends with an s.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
