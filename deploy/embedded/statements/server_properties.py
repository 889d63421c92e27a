"""SHOW PROPERTIES: the properties of a ksqlDB server, with the values that hold here.

The names, the default values and the marks are those of a stock 7.9.1 (observed). Most of them say how Kafka and
Kafka Streams work, so they change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opensea_metrics.deploy.embedded.statements.replies import SERVICE_ID

_INTERNAL = (
    "_confluent.*,__confluent.*,_schemas,__consumer_offsets,__transaction_state,connect-configs,connect-offsets,"
    "connect-status,connect-statuses"
)
_FAIL = "io.confluent.ksql.errors.ProductionExceptionHandlerUtil$LogAndFailProductionExceptionHandler"
# Each line is a name, marks and a value. "=": the server's configuration sets it. "*": a client may set it.
# "Q": it belongs to a query, not to the server.
_LINES = """
enable.fips =: false
ksql.access.validator.enable: auto
ksql.assert.schema.default.timeout.ms: 1000
ksql.assert.topic.default.timeout.ms: 1000
ksql.authorization.cache.expiry.time.secs: 30
ksql.authorization.cache.max.entries: 10000
ksql.cast.strings.preserve.nulls *Q: true
ksql.client.ip_port.configuration.enabled: false
ksql.connect.basic.auth.credentials.file:
ksql.connect.basic.auth.credentials.reload: false
ksql.connect.basic.auth.credentials.source: NONE
ksql.connect.request.headers.plugin: NULL
ksql.connect.request.timeout.ms: 5000
ksql.connect.url: http://localhost:8083
ksql.connect.worker.config:
ksql.create.or.replace.enabled: true
ksql.deployment.type: selfManaged
ksql.endpoint.migrate.query: true
ksql.error.classifier.regex:
ksql.fetch.remote.hosts.max.timeout.seconds: 10
ksql.headers.columns.enabled: true
ksql.hidden.topics: _INTERNAL
ksql.insert.into.values.enabled: true
ksql.internal.topic.min.insync.replicas: 1
ksql.internal.topic.replicas: 1
ksql.json_sr.converter.deserializer.enabled: true
ksql.lambdas.enabled: true
ksql.metastore.backup.location:
ksql.metrics.extension: NULL
ksql.metrics.tags.custom:
ksql.nested.error.set.null *Q: true
ksql.new.query.planner.enabled: false
ksql.output.topic.name.prefix:
ksql.persistence.default.format.key: KAFKA
ksql.persistence.default.format.value: NULL
ksql.persistence.wrap.single.values: NULL
ksql.persistent.prefix: query_
ksql.properties.overrides.denylist:
ksql.pull.queries.enable: true
ksql.query.cleanup.shutdown.timeout.ms: 30000
ksql.query.error.max.queue.size: 10
ksql.query.persistent.active.limit: 2147483647
ksql.query.persistent.max.bytes.buffering.total: -1
ksql.query.pull.enable.standby.reads: false
ksql.query.pull.forwarding.timeout.ms: 20000
ksql.query.pull.interpreter.enabled: true
ksql.query.pull.limit.clause.enabled: true
ksql.query.pull.max.allowed.offset.lag *Q: 9223372036854775807
ksql.query.pull.max.concurrent.requests: 2147483647
ksql.query.pull.max.hourly.bandwidth.megabytes: 2147483647
ksql.query.pull.max.qps: 2147483647
ksql.query.pull.metrics.enabled: true
ksql.query.pull.range.scan.enabled: true
ksql.query.pull.router.thread.pool.size: 50
ksql.query.pull.stream.enabled: true
ksql.query.pull.table.scan.enabled *Q: true
ksql.query.pull.thread.pool.size: 50
ksql.query.push.v2.alos.enabled: true
ksql.query.push.v2.catchup.consumer.msg.window: 50
ksql.query.push.v2.continuation.tokens.enabled: false
ksql.query.push.v2.enabled: false
ksql.query.push.v2.interpreter.enabled: true
ksql.query.push.v2.latest.reset.age.ms: 30000
ksql.query.push.v2.max.catchup.consumers: 5
ksql.query.push.v2.max.hourly.bandwidth.megabytes: 2147483647
ksql.query.push.v2.metrics.enabled: true
ksql.query.push.v2.new.latest.delay.ms: 5000
ksql.query.push.v2.registry.installed: false
ksql.query.retry.backoff.initial.ms: 15000
ksql.query.retry.backoff.max.ms *Q: 900000
ksql.query.status.running.threshold.seconds: 300
ksql.query.transient.max.bytes.buffering.total: -1
ksql.queryanonymizer.cluster_namespace: NULL
ksql.queryanonymizer.logs_enabled: true
ksql.readonly.topics: _INTERNAL
ksql.runtime.feature.shared.enabled: false
ksql.schema.registry.url:
ksql.security.extension.class: NULL
ksql.shared.runtimes.count: 2
ksql.sink.window.change.log.additional.retention: 1000000
ksql.source.table.materialization.enabled: true
ksql.streams.auto.offset.reset =*: earliest
ksql.streams.cache.max.bytes.buffering =*: 10000000
ksql.streams.commit.interval.ms =*: 2000
ksql.streams.default.deserialization.exception.handler =: io.confluent.ksql.errors.LogMetricAndContinueExceptionHandler
ksql.streams.default.production.exception.handler =: _FAIL
ksql.streams.num.stream.threads: 4
ksql.streams.shutdown.timeout.ms =: 300000
ksql.streams.topology.optimization =: all
ksql.suppress.buffer.size.bytes: -1
ksql.suppress.enabled: true
ksql.timestamp.throw.on.invalid *Q: false
ksql.transient.prefix: transient_
ksql.transient.query.cleanup.service.enable: true
ksql.transient.query.cleanup.service.initial.delay.seconds: 600
ksql.transient.query.cleanup.service.period.seconds: 600
ksql.udf.collect.metrics: false
ksql.udf.enable.security.manager: true
ksql.udfs.enabled: true
ksql.variable.substitution.enable: true
ksql.websocket.connection.max.timeout.ms: 3600000
metric.reporters:
"""
_VALUES: Mapping[str, str | None] = {"NULL": None, "_INTERNAL": _INTERNAL, "_FAIL": _FAIL}


def shown(given: Mapping[str, str], state_dir: str, address: str) -> dict[str, Any]:
    """The lists of properties in the reply, for a request with the properties ``given``.

    ``state_dir`` is where the server keeps its data, and ``address`` its host and port.
    """
    wanted = {_server_name(name): value for name, value in given.items()}
    properties, overwritten, defaults = [], [], []
    for name, marks, value in (*_lines(), *_own(state_dir, address)):
        is_overwritten = name in wanted and wanted[name] != value
        properties.append(
            {
                "name": name,
                "scope": "KSQL",
                "value": wanted.get(name, value),
                "editable": "*" in marks,
                "level": "QUERY" if "Q" in marks else "SERVER",
            }
        )
        if is_overwritten:
            overwritten.append(name)
        elif "=" not in marks:
            defaults.append(name)
    return {"properties": properties, "overwrittenProperties": overwritten, "defaultProperties": defaults}


def _own(state_dir: str, address: str) -> Iterator[tuple[str, str, str | None]]:
    yield "ksql.service.id", "=", SERVICE_ID
    yield "ksql.extension.dir", "=", "ext"
    yield "ksql.streams.application.server", "=", f"http://{address}"
    yield "ksql.streams.bootstrap.servers", "=", ""
    yield "ksql.streams.state.dir", "=", state_dir


def _lines() -> Iterator[tuple[str, str, str | None]]:
    for line in _LINES.strip().splitlines():
        named, _, value = line.partition(":")
        name, _, marks = named.partition(" ")
        value = value.strip()
        yield name, marks, _VALUES.get(value, value)


def _server_name(name: str) -> str:
    """A client's name of a property as the server lists it."""
    return name if name.startswith("ksql.") else f"ksql.streams.{name}"
