"""Settings from the environment and from ``.env`` in the working directory.

Every class of settings derives from :class:`Environment`, whose errors never show a value. Any value may be a secret,
or a secret in the wrong variable.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableValue

from opensea_metrics.core.environment import ENV_FILE
from opensea_metrics.core.errors import OpenSeaMetricsError, os_reason


class SettingsError(OpenSeaMetricsError):
    """A setting is missing or wrong. The message names the variable and what it must be."""


class Environment(BaseSettings):
    """Settings whose variables begin with the prefix ``env_prefix``.

    The constructor raises SettingsError. A field's ``description`` completes the sentence "it must be …".
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_file=ENV_FILE,
        extra="ignore",  # all settings share .env, and docker compose reads it too
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        # Raised after the except clauses. Within them, pydantic's error would be the context, with the values.
        try:
            super().__init__(**values)
            return
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            problems = [_problem(type(self), detail) for detail in details]
        except UnreadableValue as error:
            named = re.search(r'field "(\w+)"', str(error))
            problems = [_must_be(type(self), named[1] if named else "", "JSON")]
        except UnicodeDecodeError:
            problems = [f"{ENV_FILE} is not UTF-8"]
        except OSError as error:
            problems = [f"{ENV_FILE} cannot be read: {os_reason(error)}"]
        hint = f"hint: correct it in the environment or in {ENV_FILE}; .env.example explains each"
        raise SettingsError("\n  ".join([*dict.fromkeys(problems), hint]))


def without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment, for messages. Accepts any text."""
    scheme, separator, rest = url.partition("://")
    if not separator or "@" in scheme:
        scheme, separator, rest = "", "", url
    return scheme + separator + re.split("[?#]", rest.rpartition("@")[2])[0]


def variable(kind: type[BaseSettings], field: str) -> str:
    """The environment variable of a field. An alias is itself the name of a variable."""
    if field not in kind.model_fields:
        return field
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def _problem(kind: type[BaseSettings], error: ErrorDetails) -> str:
    message = re.sub(r"^(Input|String|Value) should ", "", error["msg"])
    expected = message.removeprefix("be ").partition(", unable to")[0]
    if error["type"] == "bool_parsing":
        expected = "true or false"
    return _must_be(kind, str(error["loc"][0]) if error["loc"] else "", expected)


def _must_be(kind: type[BaseSettings], field: str, expected: str) -> str:
    described = kind.model_fields.get(field) or next(
        (info for info in kind.model_fields.values() if field in _aliases(info)), None
    )
    description = described.description if described is not None else None
    return f"{variable(kind, field) or 'a setting'} cannot be used: it must be {description or expected}"


def _aliases(field: Any) -> list[Any]:
    return list(getattr(field.validation_alias, "choices", ()))
