"""Checks whether a running stack works. Each part of the stack has a module with two functions.

``examine`` asks the part and passes the replies to ``judge``, which is pure. Each check that is not ok says
what to do.
"""

from opensea_metrics.deploy.doctor.checks import Check, Unreachable
from opensea_metrics.deploy.doctor.examination import KsqldbTarget, examine

__all__ = ["Check", "KsqldbTarget", "Unreachable", "examine"]
