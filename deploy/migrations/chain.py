"""The chain of streams that the lock is made of (see ``lock``): reading it, and adding a link."""

from __future__ import annotations

import time
from dataclasses import dataclass

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text
from opensea_metrics.deploy.client import (
    ClientError,
    GuardFailed,
    KsqlClient,
    KsqlError,
)
from opensea_metrics.deploy.migrations.certainty import LONGEST_WAIT, may_pass
from opensea_metrics.deploy.migrations.ledger import topic_prefix
from opensea_metrics.sql.language.statements.statements import dropping

PREFIX = "OPENSEA_METRICS_LOCK_"


@dataclass(frozen=True)
class Generation:
    """One link of the chain. ``holder`` is None if it is free; ``since`` in ms since 1970.

    ``settled``: all that was recorded before it is to be seen in the tables of the record.
    """

    number: int
    holder: str | None = None
    since: int = 0
    token: str = ""
    settled: bool = False

    @property
    def name(self) -> str:
        """The stream's name."""
        return f"{PREFIX}{self.number}"

    def create(self, topic: str) -> str:
        """The statement that makes it, if nobody was quicker, with its topic if that is its own."""
        columns = [f"token {self.token}"]
        if self.holder is not None:
            columns += [f"holder {self.holder}", f"since {self.since}"]
        elif self.settled:
            columns.append("settled")
        names = ", ".join(f"{ksqldb_quoted(each)} STRING" for each in columns)
        partitions = ", PARTITIONS=1" if _is_own(topic) else ""
        return (
            f"CREATE STREAM {ksqldb_quoted(self.name)} ({names})"
            f" WITH (KAFKA_TOPIC={ksqldb_text(topic)}, VALUE_FORMAT='JSON'{partitions});"
        )


def is_lock(name: str) -> bool:
    """True for a stream that is part of a lock."""
    return name.startswith(PREFIX)


def _is_own(topic: str) -> bool:
    """True for the topic of a single link, which is not the journal's."""
    return PREFIX in topic


def newest(client: KsqlClient) -> Generation | None:
    """The newest generation, None if the lock was never taken."""
    while True:
        numbers = numbers_of(client)
        if not numbers:
            return None
        found = _read(client, numbers[-1])
        if found is not None:  # else it was replaced just now
            return found


def holder_of(client: KsqlClient) -> Generation | None:
    """The generation of who holds the lock now, None if nobody does."""
    found = newest(client)
    return found if found is not None and found.holder is not None else None


def append(
    client: KsqlClient, topic: str | None, link: Generation, last: Generation | None
) -> bool:
    """Add a link after ``last``, on ``topic`` (None: one of its own); False if somebody else has.

    Raises ClientError if the server stays away.
    """
    if topic is None:  # no two contenders may name the same new topic: see Store.create
        topic = f"{topic_prefix(client.info().service_id)}{PREFIX}{link.token}"
    if last is not None:
        client = client.under(last.name)  # its place in the chain is right only while that exists
    deadline = time.monotonic() + client.patience
    wait = client.wait
    while True:
        try:
            client.execute(link.create(topic))
            return True
        except GuardFailed:
            # After an attempt without an answer it may be one's own link that has followed.
            return _is_mine(client, link)
        except ClientError as error:
            there = _read(client, link.number)
            if there is not None:
                return there.token == link.token
            refused = isinstance(error, KsqlError) and not may_pass(error)
            if refused and "already exists" in str(error):
                return False  # it was there, and has been dropped already
            if refused or time.monotonic() > deadline:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _is_mine(client: KsqlClient, link: Generation) -> bool:
    there = _read(client, link.number)
    return there is not None and there.token == link.token


def numbers_of(client: KsqlClient) -> list[int]:
    """The numbers of the links that exist, ascending."""
    return sorted(topics_of(client))


def topics_of(client: KsqlClient) -> dict[int, str]:
    """The topics of the links that exist, by their numbers."""
    links = {s.name.removeprefix(PREFIX): s.topic for s in client.streams() if is_lock(s.name)}
    return {int(number): topic for number, topic in links.items() if number.isdigit()}


def _read(client: KsqlClient, number: int) -> Generation | None:
    found = client.describe_all([f"{PREFIX}{number}"])
    if not found:
        return None
    values: dict[str, str] = {}
    for column in found[0].columns:
        name, _, value = column.name.partition(" ")
        values[name] = value
    since = int(values.get("since", 0))
    settled = "settled" in values and "holder" not in values
    return Generation(number, values.get("holder"), since, values["token"], settled)


def drop_older(client: KsqlClient, number: int) -> None:
    """Drop the links before ``number``, the oldest first, so that the chain has no gap."""
    for older, topic in sorted(topics_of(client).items()):
        if older < number:
            drop(client, older, topic)


def drop(client: KsqlClient, number: int, topic: str) -> None:
    """Drop a link, and its topic if that is its own."""
    name = f"{PREFIX}{number}"
    statement = dropping("STREAM", name, delete_topic=_is_own(topic), if_exists=True)
    client = client.under(None) if client.guard == name else client
    deadline = time.monotonic() + client.patience
    while True:
        try:
            client.execute(statement.text)
            return
        except ClientError as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
            time.sleep(client.wait)
