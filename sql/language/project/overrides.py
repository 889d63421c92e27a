"""Values from ``--var NAME=VALUE`` for settings."""

from __future__ import annotations

import re
from typing import Any

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.project.yaml_text import NotYaml, read_yaml

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS: dict[type, str] = {
    list: "a list in YAML, such as [{size: 1 HOUR}]",
    dict: "names and values in YAML, such as {a: 1}",
}


def overridden(name: str, text: str, setting: Any) -> Any:
    """The value of ``text`` for a setting, with the type of the setting's current value ``setting``.

    For a setting that is text, the text stays unchanged, even if YAML would read a number, a flag or a time. For
    lists, mappings and settings without a value (``null``), the text is read as YAML. Raises SqlError if the
    value has another type.
    """
    written = text.strip()
    match setting:
        case str():
            return text
        case bool():
            if (flag := _FLAGS.get(written.lower())) is not None:
                return flag
            raise _wrong(name, text, "true or false")
        case int():
            if _WHOLE.fullmatch(written):
                return int(written)
            raise _wrong(name, text, f"a whole number, such as {setting}")
        case float():
            if _DECIMAL.fullmatch(written):
                return float(written)
            raise _wrong(name, text, f"a number, such as {setting}")
    try:
        value = read_yaml(text)
    except NotYaml as error:
        raise SqlError(f"--var {name}: not YAML: {error.problem}") from error
    if setting is not None and type(value) is not type(setting):
        kind = _KINDS.get(type(setting), f"a {type(setting).__name__}, such as {setting}")
        raise _wrong(name, text, kind)
    return value


def _wrong(name: str, text: str, expected: str) -> SqlError:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return SqlError(f"--var {name}={shown}: '{name}' in settings.yml is {expected}")
