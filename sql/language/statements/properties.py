"""Properties that SET and requests may set, and their allowed values.

Source: a SET of each property on ksqlDB 7.9.1, and another SET with a wrong value. In the embedded server, only
``auto.offset.reset`` has an effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.statements.statements import Kind, Statement

RESET = "auto.offset.reset"

_INT = """
auto.commit.interval.ms batch.size buffered.records.per.partition default.api.timeout.ms
delivery.timeout.ms fetch.max.bytes fetch.max.wait.ms fetch.min.bytes heartbeat.interval.ms
ksql.assert.schema.default.timeout.ms ksql.assert.topic.default.timeout.ms
ksql.query.error.max.queue.size ksql.query.persistent.active.limit
ksql.query.pull.max.concurrent.requests ksql.query.pull.max.hourly.bandwidth.megabytes
ksql.query.pull.max.qps ksql.query.pull.router.thread.pool.size ksql.query.pull.thread.pool.size
ksql.query.push.v2.max.catchup.consumers ksql.query.push.v2.max.hourly.bandwidth.megabytes
ksql.query.status.running.threshold.seconds ksql.shared.runtimes.count
ksql.transient.query.cleanup.service.initial.delay.seconds
ksql.transient.query.cleanup.service.period.seconds max.in.flight.requests.per.connection
max.partition.fetch.bytes max.poll.interval.ms max.poll.records max.request.size max.warmup.replicas
metrics.num.samples num.standby.replicas num.stream.threads receive.buffer.bytes replication.factor
request.timeout.ms retries send.buffer.bytes session.timeout.ms transaction.timeout.ms
"""
_SHORT = """
ksql.internal.topic.min.insync.replicas ksql.internal.topic.replicas
"""
_LONG = """
buffer.memory cache.max.bytes.buffering commit.interval.ms connections.max.idle.ms
ksql.authorization.cache.expiry.time.secs ksql.authorization.cache.max.entries
ksql.connect.request.timeout.ms ksql.fetch.remote.hosts.max.timeout.seconds
ksql.query.cleanup.shutdown.timeout.ms ksql.query.persistent.max.bytes.buffering.total
ksql.query.pull.forwarding.timeout.ms ksql.query.pull.max.allowed.offset.lag
ksql.query.push.v2.catchup.consumer.msg.window ksql.query.push.v2.latest.reset.age.ms
ksql.query.push.v2.new.latest.delay.ms ksql.query.retry.backoff.initial.ms
ksql.query.retry.backoff.max.ms ksql.query.transient.max.bytes.buffering.total
ksql.sink.window.change.log.additional.retention ksql.suppress.buffer.size.bytes
ksql.websocket.connection.max.timeout.ms linger.ms max.block.ms max.task.idle.ms metadata.max.age.ms
metrics.sample.window.ms poll.ms reconnect.backoff.max.ms reconnect.backoff.ms retry.backoff.ms
state.cleanup.delay.ms statestore.cache.max.bytes task.timeout.ms window.size.ms
windowstore.changelog.additional.retention.ms
"""
_BOOLEAN = """
allow.auto.create.topics check.crcs enable.auto.commit enable.idempotence exclude.internal.topics
ksql.cast.strings.preserve.nulls ksql.client.ip_port.configuration.enabled
ksql.connect.basic.auth.credentials.reload ksql.create.or.replace.enabled ksql.endpoint.migrate.query
ksql.headers.columns.enabled ksql.insert.into.values.enabled ksql.json_sr.converter.deserializer.enabled
ksql.lambdas.enabled ksql.nested.error.set.null ksql.new.query.planner.enabled
ksql.persistence.wrap.single.values ksql.pull.queries.enable ksql.query.pull.enable.standby.reads
ksql.query.pull.interpreter.enabled ksql.query.pull.limit.clause.enabled ksql.query.pull.metrics.enabled
ksql.query.pull.range.scan.enabled ksql.query.pull.stream.enabled ksql.query.pull.table.scan.enabled
ksql.query.push.v2.alos.enabled ksql.query.push.v2.continuation.tokens.enabled
ksql.query.push.v2.enabled ksql.query.push.v2.interpreter.enabled ksql.query.push.v2.metrics.enabled
ksql.query.push.v2.registry.installed ksql.queryanonymizer.logs_enabled
ksql.runtime.feature.shared.enabled ksql.source.table.materialization.enabled ksql.suppress.enabled
ksql.timestamp.throw.on.invalid ksql.transient.query.cleanup.service.enable ksql.udf.collect.metrics
ksql.udf.enable.security.manager ksql.udfs.enabled ksql.variable.substitution.enable
request.ksql.debug.request request.ksql.internal.request request.ksql.query.pull.skip.forwarding
request.ksql.query.push.skip.forwarding
"""
_TEXT = """
application.id application.server bootstrap.servers client.id client.rack
default.deserialization.exception.handler default.production.exception.handler group.id
group.instance.id interceptor.classes ksql.connect.basic.auth.credentials.file
ksql.connect.request.headers.plugin ksql.connect.url ksql.connect.worker.config ksql.deployment.type
ksql.error.classifier.regex ksql.extension.dir ksql.hidden.topics ksql.metastore.backup.location
ksql.metrics.extension ksql.metrics.tags.custom ksql.output.topic.name.prefix
ksql.persistence.default.format.key ksql.persistence.default.format.value ksql.persistent.prefix
ksql.properties.overrides.denylist ksql.queryanonymizer.cluster_namespace ksql.readonly.topics
ksql.schema.registry.url ksql.security.extension.class ksql.service.id ksql.transient.prefix
metric.reporters partition.assignment.strategy partitioner.class request.ksql.query.pull.partition
request.ksql.query.push.catchup.consumer.group request.ksql.query.push.continuation.token
rocksdb.config.setter security.protocol state.dir topology.optimization upgrade.from
"""
_CHOICES = {
    "acks": ("all", "-1", "0", "1"),
    "auto.offset.reset": ("latest", "earliest", "none"),
    "client.dns.lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "compression.type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "isolation.level": ("read_committed", "read_uncommitted"),
    "ksql.access.validator.enable": ("on", "off", "auto"),
    "ksql.connect.basic.auth.credentials.source": ("NONE", "FILE"),
    "metrics.recording.level": ("INFO", "DEBUG", "TRACE"),
    "processing.guarantee": ("at_least_once", "exactly_once", "exactly_once_beta", "exactly_once_v2"),
}
_BITS = {
    **dict.fromkeys(_SHORT.split(), ("SHORT", 15)),
    **dict.fromkeys(_INT.split(), ("INT", 31)),
    **dict.fromkeys(_LONG.split(), ("LONG", 63)),
}
_BOOLEANS = frozenset(_BOOLEAN.split())
_KNOWN = frozenset((*_BITS, *_BOOLEANS, *_TEXT.split(), *_CHOICES))
_OF_CLIENTS = ("ksql.streams.", "main.consumer.", "restore.consumer.", "consumer.", "producer.", "admin.")
"""Prefixes that assign a property to one part of ksqlDB. The rest is the name of a property of that part."""
_ANY = ("confluent.", "ksql.functions.", "sasl.", "ssl.", "topic.", "__")
"""Beginnings of names that depend on a server's parts, such as its functions or Kafka Streams' own switches."""


def check_set(statement: Statement) -> None:
    """Raise SqlError for a SET or UNSET that ksqlDB refuses, immediately or in the statements after it."""
    name = str(statement.ast.this.this)
    if not is_known(name):
        hint = "SHOW PROPERTIES lists the properties; their names are in lower case"
        raise SqlError(f"Unknown property: {name}", statement.place, hint)
    if statement.kind is Kind.SET and (reason := misfit(name, str(statement.ast.args["value"].this))):
        raise SqlError(reason, statement.place)


def is_known(name: str) -> bool:
    """True if ksqlDB accepts the name of a property."""
    plain = _plain(name)
    return plain in _KNOWN or plain.startswith(_ANY)


def misfit(name: str, value: str) -> str | None:
    """The reason why a property cannot have a value, in ksqlDB's words, or None if it can."""
    plain = _plain(name)
    reason = None
    if plain in _CHOICES and value not in _CHOICES[plain]:
        reason = f"String must be one of: {', '.join(_CHOICES[plain])}"
    elif plain in _BOOLEANS and value.strip().lower() not in ("true", "false"):
        reason = "Expected value to be either true or false"
    elif plain in _BITS and not _is_whole(value.strip(), _BITS[plain][1]):
        reason = f"Not a number of type {_BITS[plain][0]}"
    if reason:
        return f"Invalid value {value} for configuration {plain}: {reason}"
    if plain == RESET and value == "none":
        # ksqlDB accepts the SET, but then no query starts.
        return "'none' is not valid for this property within KSQL"
    return None


def reset_of(properties: Mapping[str, str]) -> str:
    """Where a query starts to read: "earliest" (the embedded server's default) or "latest"."""
    values = [value for name, value in properties.items() if _plain(name) == RESET]
    return properties.get(RESET) or (values or ["earliest"])[-1]


def _plain(name: str) -> str:
    """The name without the prefixes that assign it to a part of ksqlDB."""
    while prefix := next(filter(name.startswith, _OF_CLIENTS), ""):
        name = name.removeprefix(prefix)
    return name


def _is_whole(text: str, bits: int) -> bool:
    return bool(re.fullmatch(r"[+-]?[0-9]{1,19}", text)) and -(2**bits) <= int(text) < 2**bits
