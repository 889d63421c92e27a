"""Access to the embedded server, and the limits on each request."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """The credentials that clients must send.

    Clients send ``user`` and ``password`` (basic authentication), or a bearer ``token``. If both are set, either is
    accepted.
    """

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Certificate:
    """The server's certificate and its key, as PEM files. The key may be in the certificate's file."""

    cert_file: Path
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Limits:
    """Limits for one request or connection. Sizes are in bytes, times in seconds.

    ``idle`` limits a connection without a request, or with a request whose head stays incomplete. ``body_time``
    limits the time for a whole body. ``open_queries`` limits the number of open queries and insert streams.
    ``head`` limits the line and the headers of a request over HTTP/1.1.
    """

    body: int = 16 * MIB
    body_time: float = 60.0
    idle: float = 30.0
    open_queries: int = 1_000
    head: int = 16 * 1024


@dataclass(frozen=True)
class Policy:
    """Access rules and limits. ``allowed_hosts`` are names of this server, in addition to the loopback names."""

    allowed_hosts: tuple[str, ...] = ()
    credentials: Credentials | None = None
    certificate: Certificate | None = None
    limits: Limits = Limits()
