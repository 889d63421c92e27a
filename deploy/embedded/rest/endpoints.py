"""The paths of the REST interface, and the types of reply that each can give: observed on ksqlDB 7.9.1."""

from __future__ import annotations

import re

from starlette.types import Scope

from opensea_metrics.deploy.embedded.rest.denials import Refusal

DELIMITED = "application/vnd.ksqlapi.delimited.v1"
JSON = "application/json"
KSQL = "application/vnd.ksql.v1+json"
INSERTS = "/inserts-stream"
WEBSOCKET = "/ws/query"

_QUERIES = (DELIMITED, JSON, KSQL)
_REPLIES = (KSQL, JSON)
_TYPES = {
    "/query-stream": _QUERIES,
    "/query": _QUERIES,
    INSERTS: (DELIMITED, JSON),
    **dict.fromkeys(("/info", "/ksql", "/healthcheck", "/status", "/clusterStatus"), _REPLIES),
    **dict.fromkeys(("/v1/metadata", "/v1/metadata/id"), _REPLIES),
}
_PREFIXES = ("/status/", "/is_valid_property/")


def normal_path(path: str) -> str:
    """A path without repeated slashes and without a slash at its end. ksqlDB ignores such slashes."""
    return re.sub("/+", "/", path).rstrip("/") or "/"


def check_accept(scope: Scope) -> Refusal | None:
    """Refuse a request with 406 and no body if its client accepts none of the types that its path can return."""
    return Refusal(406, 40600, "") if accepted(scope) is None else None


def accepted(scope: Scope) -> str | None:
    """The type of the reply that a client prefers, or empty if the client accepts any type.

    None if the path has no type that the client accepts.
    """
    header = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1").strip()
    path = scope["path"]
    types = _TYPES.get(path) or (_REPLIES if path.startswith(_PREFIXES) else ())
    if not header or not types:
        return ""
    for wanted in _ranges(header):
        pattern = re.escape(wanted).replace(r"\*", "[^/]*")
        for kind in types:
            if re.fullmatch(pattern, kind):
                return kind
    return None


def _ranges(header: str) -> list[str]:
    """The types of an Accept header, the one with the greatest q first."""
    weighted = []
    for item in header.split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weighted.append((weight, kind.lower()))
    return [kind for weight, kind in sorted(weighted, key=lambda pair: -pair[0]) if kind and weight > 0]
