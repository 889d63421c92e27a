"""The policy of the servers that ``serve`` and ``dashboard`` start: who may use them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.config import ServeSettings
from opensea_metrics.deploy.embedded.rest.origins import is_address, is_loopback
from opensea_metrics.deploy.embedded.rest.policy import Certificate, Credentials, Policy

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class AccessNotSet(OpenSeaMetricsError):
    """Settings for access to the server are missing or contradict one another."""


class NoHostName(OpenSeaMetricsError):
    """The value of --allow-host is not a host name."""


def policy(
    settings: ServeSettings, host: str, allowed_hosts: Iterable[str], insecure: bool
) -> tuple[Policy, list[str]]:
    """The policy of a server that listens on ``host``, and warnings to show.

    An address other than loopback needs credentials and a certificate, unless ``insecure`` is true.
    Raises AccessNotSet if a setting is missing, and NoHostName.
    """
    allowed = tuple(allowed_hosts)
    for name in allowed:
        _check_name(name)
    credentials = _credentials(settings)
    certificate = _certificate(settings)
    if is_loopback(host):
        return Policy(allowed, credentials, certificate), []
    prefix = _prefix(settings)
    missing = [
        *([] if credentials else [f"{prefix}USER and {prefix}PASSWORD, or {prefix}TOKEN"]),
        *([] if certificate else [f"{prefix}CERT_FILE and {prefix}KEY_FILE"]),
    ]
    if missing and not insecure:
        raise AccessNotSet(
            f"other machines can reach this server on {host}, so it starts only with credentials and a"
            f" certificate\n  hint: set {' and '.join(missing)} in the environment or .env; or give"
            " --insecure, for instance behind a proxy that asks for credentials and ends TLS"
        )
    warnings: list[str] = []
    if credentials is None:
        warnings.append(
            f"--insecure: anyone who can reach {host} can read, change and delete all data of this"
            " server, and make it read and write without limit"
        )
    if certificate is None:
        warnings.append(
            f"--insecure: data{' and credentials' if credentials else ''} cross the network to {host} as"
            " plain text, unless a proxy with TLS is in front"
        )
    return Policy(allowed, credentials, certificate), warnings


def _check_name(name: str) -> None:
    """Raises NoHostName for a name that no client's Host header can have."""
    if is_address(name) or _NAME.fullmatch(name):
        return
    raise NoHostName(
        f"--allow-host {name!r} is not a host name\n"
        "  hint: give a name such as metrics.example.org, or an address, without scheme, port and path. There are no"
        " wildcards: repeat the option for further names"
    )


def _prefix(settings: ServeSettings) -> str:
    """The prefix of the settings' environment variables."""
    return str(settings.model_config.get("env_prefix"))


def _credentials(settings: ServeSettings) -> Credentials | None:
    prefix = _prefix(settings)
    user = settings.user or None
    password = settings.password.get_secret_value() if settings.password else ""
    token = settings.token.get_secret_value() if settings.token else ""
    if bool(user) != bool(password):
        missing = "PASSWORD" if user else "USER"
        raise AccessNotSet(f"{prefix}{missing} is not set: set the user and the password together")
    if user and ":" in user:
        raise AccessNotSet(f"{prefix}USER has a colon, which basic authentication forbids")
    if not (user or token):
        return None
    return Credentials(user, password or None, token or None)


def _certificate(settings: ServeSettings) -> Certificate | None:
    if settings.cert_file is None:
        if settings.key_file is not None:
            raise AccessNotSet(f"{_prefix(settings)}KEY_FILE is set, but {_prefix(settings)}CERT_FILE is not")
        return None
    password = settings.key_password.get_secret_value() if settings.key_password else None
    return Certificate(settings.cert_file, settings.key_file, password)
