"""Templates have neither Python nor the machine to themselves, and every failure has a file and line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.project import templates
from opensea_metrics.sql.language.project.project import load_project

Load = Callable[..., str]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes V001__a.sql and other files; gives what it renders to, or the error."""

    def load(text: str | bytes, settings: str = "n: 1", **files: str | bytes) -> str:
        (tmp_path / "migrations").mkdir()
        (tmp_path / "macros").mkdir()
        (tmp_path / "settings.yml").write_text(settings)
        written = {"migrations/V001__a.sql": text} | {f"macros/{n}.sql": t for n, t in files.items()}
        for name, content in written.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name).write_bytes(data)
        try:
            return load_project(tmp_path).migrations[0].text.text
        except SqlError as error:
            return str(error).replace(f"{tmp_path}/", "")

    return load


PYTHON = [
    "{{ cycler.__init__.__globals__.os.popen('touch WITNESS') }}",
    "{{ lipsum.__globals__ }}",
    "{{ ref.__globals__ }}",
    "{{ ref.__closure__ }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ self._TemplateReference__context }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{% set f = '{0.__class__}'.format %}{{ f(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ [1]|map(attribute='__class__')|list }}",
    "{{ [1]|groupby('__class__') }}",
    "{{ ['x']|map('attr', '__class__')|list }}",
    "{{ windows.append(1) }}",
]


@pytest.mark.parametrize("text", PYTHON)
def test_a_template_does_not_reach_python(load: Load, text: str, tmp_path: Path) -> None:
    told = load(f"-- one\n\n-- {text.replace('WITNESS', str(tmp_path / 'witness'))}", "windows: [1]")
    assert told.startswith("migrations/V001__a.sql:3:1: template: '")
    assert told.endswith("is not available in templates")
    assert not (tmp_path / "witness").exists()


TOO_MUCH = {
    "{{ '%1000000000d' % 1 }}": "rendering takes more than 512 MB",
    "{{ 'a' * 10**10 }}": "rendering takes more than 512 MB",
    "{{ 'a'|center(10**9) }}": "rendering takes more than 512 MB",
    "{{ 'a'.ljust(10**9) }}": "rendering takes more than 512 MB",
    "{{ '{:1000000000}'.format(1) }}": "rendering takes more than 512 MB",
    "{{ ('a\n' * 10**6)|indent(10**4) }}": "rendering takes more than 512 MB",
    "{{ range(100000)|join('x' * 100000) }}": "rendering takes more than 512 MB",
    "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}":
        "rendering takes more than 512 MB",
    "{{ 10**(10**10) }}": "rendering takes more than 0.2 seconds",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}":
        "rendering takes more than 0.2 seconds",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50) }}":
        "rendering takes more than 0.2 seconds",
    "{{ 'a' * 2**25 }}": "the text has more than 16,777,216 characters",
    "{% for i in range(100000) %}{{ 'a' * 200 }}{% endfor %}":
        "the text has more than 16,777,216 characters",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "nested too deeply",
    "{% include 'V001__a.sql' %}": "nested too deeply",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}": "nested too deeply",
    "{{ " + 5000 * "(" + "1" + 5000 * ")" + " }}": "nested too deeply",
    30 * "{% for a in [1] %}" + 30 * "{% endfor %}": "too many statically nested blocks",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TOO_MUCH.items())
def test_a_template_has_limits(
    load: Load, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "seconds" in expected:
        monkeypatch.setattr(templates, "SECONDS", 0.2)
    told = load(f"-- one\n\n{text}\n-- end")
    line = 4 if "indent" in text else 3  # the line on which an expression ends
    assert told.startswith(f"migrations/V001__a.sql:{line}:1: template: ")
    assert expected in told


def test_the_line_of_what_is_stopped_is_that_of_the_macro(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "SECONDS", 0.2)
    macro = "{% macro m() %}\n\n{{ 7**(10**8) }}{% endmacro %}"
    told = load("{% import 'é.sql' as m %}\n{{ m.m() }}", é=macro)
    assert told == "macros/é.sql:3:1: template: rendering takes more than 0.2 seconds"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 'a'.split()[3] }}", "list object has no element 3"),
        ("{{ {}['a'] }}", "'dict object' has no attribute 'a'"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ 10.0 ** 400 }}", "OverflowError: "),
        ("{{ range(10**9) }}", "OverflowError: "),
        ("{{ '{1}'.format(1) }}", "IndexError: "),
        ("{{ '{a}'.format(1) }}", "KeyError: 'a'"),
        ("{{ 'a'.encode('x') }}", "LookupError: "),
        ("{{ 10 ** 5000 }}", "ValueError: "),
        ("{{ 'a'|truncate(-5) }}", "AssertionError: "),
        ("{{ 1() }}", "TypeError: 'int' object is not callable"),
        ("{{ 'a'|nosuch }}", "No filter named 'nosuch'."),
        ("{% include 'nosuch.sql' %}", "there is no file 'nosuch.sql' in macros/ or migrations/"),
        ("{% include '../settings.yml' %}", "there is no file '../settings.yml' in macros/"),
        ("{% import 'latin.sql' as x %}", None),
        ("{% if %}", "Expected an expression"),
        ("{# never closed", "Missing end of comment tag"),
    ],
)
def test_a_failure_has_a_place(load: Load, text: str, expected: str | None) -> None:
    told = load(f"-- one\n\n{text}", latin=b"-- one\n-- caf\xe9")
    if expected is None:
        assert told == "macros/latin.sql:2:1: template: the byte 0xE9 is not UTF-8"
    else:
        assert told.startswith(f"migrations/V001__a.sql:3:1: template: {expected}")


def test_templates_see_nothing_of_the_environment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process gets no secret: it has no environment but this."""
    monkeypatch.setenv("OPENSEA_METRICS_KSQLDB_PASSWORD", "s3cret")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "opensea_metrics/core"))  # has a types.py
    assert load("-- {{ n + 1 }}") == "-- 2"
    assert os.environ["OPENSEA_METRICS_KSQLDB_PASSWORD"] == "s3cret"


@pytest.mark.parametrize("mark", ["\ue0000\ue00170\ue0011\ue002", "\ue0009\ue0011\ue0011\ue002", "\ue000x\ue0010"])
def test_text_that_looks_like_a_mark_is_text(load: Load, mark: str) -> None:
    """Neither a value nor the text of a file forges the place of what follows."""
    value = mark.encode("ascii", "backslashreplace").decode()
    text = f"-- {mark} {{{{ n }}}} {{{{ '{mark}' }}}}"
    assert load(text, f'n: "{value}"') == f"-- {mark} {mark} {mark}"


def test_a_mark_does_not_forge_a_place(load: Load) -> None:
    text = "-- {{ n }}\n{{ '\ue0000\ue00170\ue0011\ue002' }} CREATE x;"
    assert load(text).startswith("migrations/V001__a.sql:2:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xef\xbb\xbf-- {{ n }}\r\n", "-- 1\n"),
        (b"\xef\xbb\xbfDROP STREAM a;", "DROP STREAM a;"),
        ("{% import 'm.sql' as m %}-- {{ m.m() }}", "-- x"),
        ("-- one".encode("utf-16"), "migrations/V001__a.sql:1:1: the file is UTF-16 or UTF-32, not UTF-8\n"),
        ("-- one".encode("utf-16-be"), "migrations/V001__a.sql:1:1: the file is UTF-16 or UTF-32"),
        (b"-- one\n-- caf\xe9", "migrations/V001__a.sql:2:7: the byte 0xE9 is not UTF-8\n"),
    ],
)
def test_encodings(load: Load, text: str | bytes, expected: str) -> None:
    macro = b"\xef\xbb\xbf{% macro m() %}x{% endmacro %}"
    assert load(text, "\ufeffn: 1", m=macro).startswith(expected)


def test_only_one_process_waits_for_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setattr(templates, "_begun", begun)
    monkeypatch.setattr(templates, "_process", object)
    templates.begin()
    templates.begin()
    assert len(begun) == 1
