"""Helpers of the conformance tests: servers, the names of one run, requests, and patterns of replies.

A case is data. ``RUN_`` in it stands for a prefix that no other run has, and ``QUERY_1`` … for the ids
of the persistent queries that the statements under ``given`` have started.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

Case = Mapping[str, Any]
_EARLIEST = {"auto.offset.reset": "earliest"}
_BUSY = "command topic"
"""Part of a real server's message if it has not carried out a statement yet. The statement is sent again."""


_STARTING = "Cannot determine which host contains the required partitions"
"""Part of a real server's message if a table has just been created."""
_SECONDS = 180.0
"""The longest time for a part of a reply."""
_PULL_SECONDS = 10.0
"""Seconds until a pull query over a new table is sent again.

A real server never ends its reply if the query arrives while a new table's state is made ready (observed on a 7.9.1,
2026-11-30).
"""


@dataclass(frozen=True)
class Reply:
    """An HTTP reply. ``body`` is its JSON, a list for lines of JSON, or its text if it is not JSON."""

    status: int
    content_type: str | None
    body: Any
    text: str


@dataclass
class Run:
    """One run of some cases against one server, with unique names."""

    url: str
    is_real: bool
    prefix: str = field(default_factory=lambda: f"T{secrets.token_hex(3)}_".upper())
    names: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_SECONDS))

    def filled(self, value: Any) -> Any:
        """A case's value with the names of this run."""
        if isinstance(value, str):
            value = value.replace("RUN_", self.prefix)
            for name, meaning in sorted(self.names.items(), reverse=True):
                value = re.sub(rf"\b{name}\b", meaning, value)
            return value
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, dict):
            return {self.filled(key): self.filled(item) for key, item in value.items()}
        return value

    def begin(self, file: Case) -> None:
        """Carry out the statements under ``given``, and wait for the queries under ``await``."""
        for statement in file["given"]:
            self.execute(statement)
        for sql, count in file.get("await", {}).items():
            self.wait(sql, count)

    def execute(self, statement: str) -> None:
        """Carry out a statement that must succeed, and remember the query that it starts."""
        statement = self.filled(statement)
        for attempt in range(8):
            reply = self._send("POST", "/ksql", {"ksql": statement, "streamsProperties": _EARLIEST})
            if reply.status != 500 or _BUSY not in reply.text:
                break
            time.sleep(attempt)
        assert reply.status == 200, reply.text
        for entity in reply.body:
            if query_id := (entity.get("commandStatus") or {}).get("queryId"):
                self.names[f"QUERY_{next(self._numbers)}"] = query_id

    def ask(self, case: Case) -> Reply:
        """Send a case's request."""
        properties = {**_EARLIEST, **case.get("properties", {})}
        accept = {"Accept": case["accept"]} if "accept" in case else {}
        match case:
            case {"ksql": text}:
                body = {"ksql": self.filled(text), "streamsProperties": properties}
                if "variables" in case:
                    body["sessionVariables"] = self.filled(case["variables"])
                return self._send("POST", "/ksql", body)
            case {"query_stream": text}:
                body = {"sql": self.filled(text), "properties": properties}
                return self._send("POST", "/query-stream", body, accept)
            case {"query": text}:
                body = {"ksql": self.filled(text), "streamsProperties": properties}
                accept = accept or {"Accept": "application/vnd.ksql.v1+json"}
                return self._send("POST", "/query", body, accept)
            case {"post": path}:
                return self._send("POST", path, case["body"], accept)
            case {"get": path}:
                return self._send("GET", self.filled(path), None, accept)
        raise ValueError(f"this case has no request: {case}")

    @functools.cached_property
    def properties(self) -> Mapping[str, str | None]:
        """The server's properties, without those of a request."""
        reply = self._send("POST", "/ksql", {"ksql": "SHOW PROPERTIES;"})
        return {listed["name"]: listed["value"] for listed in reply.body[0]["properties"]}

    def rows(self, sql: str) -> list[Any]:
        """The rows of a query. An error fails the test, unless it says that a table is not ready yet."""
        may_hang = self.is_real and "EMIT CHANGES" not in sql.upper()
        for _ in range(120):
            try:
                with self._timeout(_PULL_SECONDS if may_hang else _SECONDS):
                    reply = self.ask({"query_stream": sql})
            except httpx.ReadTimeout:
                if not may_hang:
                    raise
                continue
            if _STARTING not in reply.text:
                break
            time.sleep(0.5)
        assert reply.status == 200, reply.text
        return list(reply.body[1:])

    @contextlib.contextmanager
    def _timeout(self, seconds: float) -> Iterator[None]:
        self._http.timeout = seconds
        try:
            yield
        finally:
            self._http.timeout = _SECONDS

    def wait(self, sql: str, count: int) -> list[Any]:
        """The rows of a query as soon as there are ``count`` of them."""
        deadline = time.monotonic() + 90
        while len(rows := self.rows(sql)) < count and time.monotonic() < deadline:
            time.sleep(0.3)
        assert len(rows) >= count, rows
        return rows

    def clean_up(self) -> None:
        """Drop all streams and tables with this run's prefix, readers before their sources."""
        for query in self.ask({"ksql": "SHOW QUERIES;"}).body[0]["queries"]:
            if query["id"].startswith("INSERTQUERY") and query["sinks"][0].startswith(self.prefix):
                with contextlib.suppress(AssertionError):
                    self.execute(f"TERMINATE {query['id']};")
        for _ in range(5):
            listed = self.ask({"ksql": "SHOW STREAMS; SHOW TABLES;"}).body
            sources = [s for kind in listed for s in kind.get("streams") or kind.get("tables") or []]
            ours = [s for s in sources if s["name"].startswith(self.prefix)]
            if not ours:
                return
            users = Counter(source["topic"] for source in sources)
            for source in ours:
                described = self.ask({"ksql": f"DESCRIBE `{source['name']}`;"}).body
                if described[0]["sourceDescription"]["readQueries"]:
                    continue  # its turn comes later; DELETE TOPIC would delete the topic nevertheless
                # A topic with several sources can be deleted only together with the last of them.
                delete = " DELETE TOPIC" if users[source["topic"]] == 1 else ""
                with contextlib.suppress(AssertionError):
                    self.execute(f"DROP {source['type']} `{source['name']}`{delete};")
                    users[source["topic"]] -= 1

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> Reply:
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", **(headers or {})}
        reply = self._http.request(method, self.url + path, content=content, headers=headers)
        content_type = (reply.headers.get("content-type") or "").split(";")[0] or None
        return Reply(reply.status_code, content_type, _parsed(reply.text, content_type), reply.text)


def _parsed(text: str, content_type: str | None) -> Any:
    if content_type == "application/vnd.ksqlapi.delimited.v1":
        return [json.loads(line) for line in text.splitlines() if line]
    try:
        return json.loads(text)
    except ValueError:
        return text


_TYPES: dict[str, tuple[type, ...]] = {
    "<text>": (str,),
    "<whole number>": (int,),
    "<number>": (int, float),
    "<flag>": (bool,),
    "<list>": (list,),
    "<object>": (dict,),
    "<text or null>": (str, type(None)),
}


def differences(expected: Any, got: Any, *, longer: bool, path: str = "reply") -> list[str]:
    """The differences between a reply and the expectation of a case, as lines. Empty if there are none.

    A text such as ``<text>`` or ``<whole number>`` stands for any value of that type, ``<any>`` for any value, and
    ``…`` inside a text for any text. A list that begins with ``<among>`` has the elements that follow, among others
    of the same shape as the first of them. A list that begins with ``<each>`` has any number of elements, all like
    the one that follows. Objects have exactly the given keys. A key ``…`` allows other keys, whose values are like
    its value. With ``longer`` a message may continue after the expected one, on a new line.
    """
    if expected == "<any>":
        return []
    if isinstance(expected, str) and expected in _TYPES:
        fits = isinstance(got, _TYPES[expected])
        if isinstance(got, bool) and bool not in _TYPES[expected]:
            fits = False
        return [] if fits else [f"{path}: {expected} is expected, not {got!r}"]
    if type(expected) is not type(got):
        return [f"{path}: {expected!r} is expected, not {got!r}"]
    if isinstance(expected, dict):
        return _object_differences(expected, got, longer, path)
    if isinstance(expected, list):
        return _list_differences(expected, got, longer, path)
    if isinstance(expected, str):
        pattern = ".*?".join(map(re.escape, expected.split("…")))
        tail = r"(\n.*)?" if longer and path.endswith(".message") else ""
        if not re.fullmatch(pattern + tail, got, re.DOTALL):
            return [f"{path}: {expected!r} is expected, not {got!r}"]
        return []
    return [] if expected == got else [f"{path}: {expected!r} is expected, not {got!r}"]


def _object_differences(
    expected: Mapping[str, Any], got: Mapping[str, Any], longer: bool, path: str
) -> list[str]:
    lines = [f"{path}: there is no {key!r}" for key in expected if key not in got and key != "…"]
    for key, value in got.items():
        if key not in expected and "…" not in expected:
            lines.append(f"{path}: {key!r} is one too many")
            continue
        wanted = expected.get(key, expected.get("…"))
        lines += differences(wanted, value, longer=longer, path=f"{path}.{key}")
    return lines


def _list_differences(
    expected: list[Any], got: list[Any], longer: bool, path: str
) -> list[str]:
    if expected[:1] == ["<each>"]:
        return [
            line
            for index, item in enumerate(got)
            for line in differences(expected[1], item, longer=longer, path=f"{path}[{index}]")
        ]
    if expected[:1] == ["<among>"]:
        lines = []
        for wanted in expected[1:]:
            tries = [differences(wanted, item, longer=longer, path=path) for item in got]
            if [] not in tries:
                nearest = min(tries, key=len, default=["the list is empty"])
                lines.append(f"{path}: nothing is like {wanted!r}; nearest: {nearest}")
        return lines
    if len(expected) != len(got):
        return [f"{path}: {len(expected)} elements are expected, not {len(got)}: {got!r}"]
    return [
        line
        for index, (wanted, item) in enumerate(zip(expected, got, strict=True))
        for line in differences(wanted, item, longer=longer, path=f"{path}[{index}]")
    ]
