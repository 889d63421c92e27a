"""Who may use the embedded server, and how much of it one request may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """What clients must send: ``user`` with ``password`` (basic authentication), a bearer ``token``, or
    either of both."""

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Certificate:
    """The server's certificate and its key (PEM files); the key may be in the certificate's file."""

    cert_file: Path
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Limits:
    """Bounds of one request or connection; sizes in bytes, times in seconds.

    ``idle`` is for a connection without a request, also one whose request's head does not become
    complete. ``body_time`` is for a whole body. ``open_queries`` counts queries and insert streams.
    """

    body: int = 16 * MIB
    body_time: float = 60.0
    idle: float = 30.0
    open_queries: int = 1_000


@dataclass(frozen=True)
class Policy:
    """``allowed_hosts`` are names of this server beside those of loopback."""

    allowed_hosts: tuple[str, ...] = ()
    credentials: Credentials | None = None
    certificate: Certificate | None = None
    limits: Limits = Limits()
