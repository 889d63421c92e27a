"""The errors of the migration tool, besides errors in SQL (SqlError) and of the client (ClientError)."""

from __future__ import annotations

from opensea_metrics.core.errors import OpenSeaMetricsError


class MigrationError(OpenSeaMetricsError):
    """Files, record and server contradict one another. The message says what to do.

    Only StepFailed and LockLost come after changes. Everything that was done before them is recorded.
    """


class PlanRefused(MigrationError):
    """The server would refuse a statement of the plan. The message names the statement and the clause."""


class Locked(MigrationError):
    """Another run holds the lock."""


class LockLost(MigrationError):
    """Another run took the lock, because this run seemed dead."""


class Irreversible(MigrationError):
    """The applied statements do not say how to undo them."""


class StepFailed(MigrationError):
    """A step failed. The record says which one, and the next run resumes there."""
