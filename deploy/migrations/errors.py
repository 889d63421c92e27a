"""What can go wrong in a migration, beside errors of SQL (SqlError) and of the client."""

from __future__ import annotations

from sql.errors import OpenSeaMetricsError


class MigrationError(OpenSeaMetricsError):
    """The migrations, their record and the server do not go together; the message says what to do.

    ::

        MigrationError
        ├── Irreversible       a rollback that cannot be derived; nothing was changed
        └── StepFailed         a step was refused; what was done before it stays done and recorded
    """


class Irreversible(MigrationError):
    """What was applied cannot be undone from its statements alone."""


class StepFailed(MigrationError):
    """A statement failed midway; the record says where, and the next run goes on from there."""
