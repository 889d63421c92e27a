"""Answers SELECTs, also with ORDER BY, GROUP BY, JOIN or OVER, which pull queries do not support.

:func:`answer` is the only entry. The shell, ``query`` and the dashboard call it.
"""

from opensea_metrics.deploy.query.answer import MOST_ROWS, Answer, TooManyRows, answer

__all__ = ["MOST_ROWS", "Answer", "TooManyRows", "answer"]
