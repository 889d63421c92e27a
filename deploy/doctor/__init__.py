"""Is a running stack well? Each part's module fetches facts and judges them, apart from one another.

A part's ``examine`` is its edge: it asks the part and gives ``judge``, which is pure, what came back.
Whatever is not well says what to do about it.
"""

from opensea_metrics.deploy.doctor.checks import Check, Unreachable
from opensea_metrics.deploy.doctor.examination import Choice, examine

__all__ = ["Check", "Choice", "Unreachable", "examine"]
