"""Credentials of clients: basic authentication, or a bearer token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from starlette.types import Scope

from opensea_metrics.deploy.embedded.rest.denials import Check, Refusal
from opensea_metrics.deploy.embedded.rest.policy import Credentials

_REALM = "opensea-metrics"


def check(credentials: Credentials | None) -> Check:
    """A check that refuses requests without these credentials with 401. None allows every request."""
    if credentials is None:
        return lambda scope: None
    accepted: list[tuple[bytes, bytes]] = []
    ways: list[str] = []
    if credentials.user is not None:
        pair = f"{credentials.user}:{credentials.password or ''}"
        accepted.append((b"basic", _digest(pair.encode())))
        ways.append("Basic")
    if credentials.token is not None:
        accepted.append((b"bearer", _digest(credentials.token.encode())))
        ways.append("Bearer")
    wanted = {"Basic": "user and password (basic authentication)", "Bearer": "token (bearer)"}
    refusal = Refusal(
        401,
        40100,
        f"Unauthorized\nSend this server's {' or its '.join(wanted[way] for way in ways)}",
        tuple((b"www-authenticate", f'{way} realm="{_REALM}"'.encode()) for way in ways),
    )

    def look(scope: Scope) -> Refusal | None:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, secret = _parsed(sent[0]) if len(sent) == 1 else (b"", b"")
        digest = _digest(secret)
        # Compare all of them, each in constant time, so that the duration reveals nothing.
        matches = [
            hmac.compare_digest(digest, known) and scheme == way for way, known in accepted
        ]
        return None if any(matches) else refusal

    return look


def _parsed(header: bytes) -> tuple[bytes, bytes]:
    """The scheme in lower case, and the token, or ``user:password``."""
    scheme, _, rest = header.strip().partition(b" ")
    scheme = scheme.lower()
    if scheme != b"basic":
        return scheme, rest.strip()
    try:
        return scheme, base64.b64decode(rest.strip(), validate=True)
    except binascii.Error:
        return b"", b""


def _digest(secret: bytes) -> bytes:
    """A digest of the secret. All digests have the same length, so comparing them does not reveal the secret's."""
    return hashlib.sha256(secret).digest()
