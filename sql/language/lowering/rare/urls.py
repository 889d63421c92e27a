"""The URL functions. The parts of a URL are those of Java's ``URI`` class (RFC 2396), decoded."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote_plus, unquote_to_bytes

from opensea_metrics.udfs.api import udf

_FORM = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_ESCAPE = r"%[0-9A-Fa-f]{2}"
_OTHER = r"[^\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000!-~]"
_URIC = re.compile(rf"(?:[A-Za-z0-9_.!~*'();/?:@&=+$,\[\]-]|{_ESCAPE}|{_OTHER})*")
_PATH = re.compile(rf"(?:[A-Za-z0-9_.!~*'();/:@&=+$,-]|{_ESCAPE}|{_OTHER})*")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_TOP_LABEL = "[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}\.)*{_TOP_LABEL}\.?|[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}|\[[0-9A-Fa-f:.]+\]"
_SERVER = re.compile(
    rf"(?:(?:[A-Za-z0-9_.!~*'();:&=+$,-]|{_ESCAPE}|{_OTHER})*@)?({_HOST})(?::([0-9]*))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class _Url(NamedTuple):
    protocol: str | None
    host: str | None
    port: int | None
    path: str | None
    query: str | None
    fragment: str | None


def _parsed(text: str) -> _Url | None:
    """The parts of a URL; None for a text that is none. A path is None in such as mailto:a@b.c."""
    match = _FORM.fullmatch(text)
    if match is None or not text:
        return None
    protocol, authority, path, query, fragment = match.groups()
    is_opaque = protocol is not None and authority is None and not path.startswith("/")
    if is_opaque and not path:
        return None
    rest = (authority or "", query or "", fragment or "", path if is_opaque else "")
    if not all(map(_URIC.fullmatch, rest)) or not (is_opaque or _PATH.fullmatch(path)):
        return None
    if authority == "" and not path:
        return None
    server = _SERVER.fullmatch(authority or "")
    host, port = (server[1], server[2]) if server else (None, None)
    if is_opaque:
        return _Url(protocol, None, None, None, None, fragment)
    return _Url(protocol, host, int(port) if port else None, path, query, fragment)


def _decoded(part: str | None) -> str | None:
    return None if part is None else unquote_to_bytes(part).decode("utf-8", "replace")


@udf(name="ksql_url_extract_protocol")
def url_extract_protocol(url: str) -> str | None:
    """The protocol, such as https."""
    parsed = _parsed(url)
    return parsed and parsed.protocol


@udf(name="ksql_url_extract_host")
def url_extract_host(url: str) -> str | None:
    """The host's name."""
    parsed = _parsed(url)
    return parsed and parsed.host


@udf(name="ksql_url_extract_port")
def url_extract_port(url: str) -> int | None:
    """The port; NULL if the URL names none."""
    parsed = _parsed(url)
    return parsed and parsed.port


@udf(name="ksql_url_extract_path")
def url_extract_path(url: str) -> str | None:
    """The path, decoded."""
    parsed = _parsed(url)
    return parsed and _decoded(parsed.path)


@udf(name="ksql_url_extract_query")
def url_extract_query(url: str) -> str | None:
    """The query, decoded."""
    parsed = _parsed(url)
    return parsed and _decoded(parsed.query)


@udf(name="ksql_url_extract_fragment")
def url_extract_fragment(url: str) -> str | None:
    """The fragment, decoded."""
    parsed = _parsed(url)
    return parsed and _decoded(parsed.fragment)


@udf(name="ksql_url_extract_parameter")
def url_extract_parameter(url: str, name: str) -> str | None:
    """The value of the first query parameter with a name, decoded. '' if the parameter has no value."""
    parsed = _parsed(url)
    query = parsed and _decoded(parsed.query)
    for pair in (query or "").split("&") if query is not None else ():
        key, _, value = pair.partition("=")
        if key == name:
            return value
    return None


@udf(name="ksql_url_encode_param")
def url_encode_param(text: str) -> str:
    """Encode a text as a URL parameter."""
    return quote_plus(text, safe="*-._").replace("~", "%7E")


@udf(name="ksql_url_decode_param")
def url_decode_param(text: str) -> str | None:
    """Decode a URL parameter. NULL if a percent sign is not followed by two hexadecimal digits."""
    if _BAD_ESCAPE.search(text):
        return None
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")
