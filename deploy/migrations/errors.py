"""What can go wrong in a migration, beside errors of SQL (SqlError) and of the client."""

from __future__ import annotations

from opensea_metrics.core.errors import OpenSeaMetricsError


class MigrationError(OpenSeaMetricsError):
    """The migrations, their record and the server do not go together; the message says what to do.

    ::

        MigrationError
        ├── Refused            the plan holds a step that the server would refuse; nothing changed
        ├── Irreversible       a rollback that cannot be derived; nothing was changed
        ├── Locked             somebody else is at work; nothing was changed
        ├── LockLost           the lock was taken away; what was done until then is recorded
        └── StepFailed         a step was refused; what was done before it stays done and recorded
    """


class Refused(MigrationError):
    """A statement of the plan would be refused; the message names statement and clause."""


class Locked(MigrationError):
    """Somebody else holds the lock."""


class LockLost(MigrationError):
    """The lock was taken away from this run, which was taken for dead."""


class Irreversible(MigrationError):
    """What was applied cannot be undone from its statements alone."""


class StepFailed(MigrationError):
    """A statement failed midway; the record says where, and the next run goes on from there."""
