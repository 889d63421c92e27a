"""The runner of the pages finds what is wrong in a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import anchors, blocks, first_paragraph, links
from tests.docs.session import PageError, Session, commands

PAGE = """# A page: what it is for

It shows `one` and [two](other.md#part). A picture: ![three](three.png)

<!-- not run: needs
     a network -->
```sh
curl https://example.org
```

- in a list:

  ```sh
  printf 'a\\nb\\nc\\n'
  ```

<!-- figure -->
```text
┌─┐
```

## Part one, and two

```sql
-- sql/x.sql
SELECT 1;
```
"""


@pytest.fixture
def session(scripts: Path, tmp_path: Path) -> Session:
    folder = tmp_path / "work"
    folder.mkdir()
    return Session(folder, tmp_path, scripts)


def run(session: Session, *texts: str) -> None:
    for text in texts:
        for block in blocks(text):
            session.run(block)


def shell(command: str) -> str:
    return f"```sh\n{command}\n```\n"


def shown(text: str) -> str:
    return f"```text\n{text}\n```\n"


def test_blocks_of_a_page() -> None:
    skipped, listed, figure, file = blocks(PAGE)
    assert (skipped.language, skipped.not_run, skipped.line) == ("sh", "needs\n     a network", 7)
    assert (listed.text, listed.not_run) == ("printf 'a\\nb\\nc\\n'\n", None)
    assert (figure.is_figure, listed.is_figure) == (True, False)
    assert (file.path, listed.path) == ("sql/x.sql", None)


def test_links_and_headings_of_a_page() -> None:
    assert links(PAGE) == ["other.md#part", "three.png"]
    assert anchors(PAGE) == {"a-page-what-it-is-for", "part-one-and-two"}
    assert first_paragraph(PAGE).startswith("It shows")
    assert first_paragraph("# Title\n\n## Part\n\nText.") == ""


@pytest.mark.parametrize("expected", ["a\nb\nc", "…\nc", "a\n…", "a\n…\nc", "…", "a\n…b\nc", "…\nb\n…"])
def test_an_output_that_fits(session: Session, expected: str) -> None:
    run(session, shell("printf 'a\\nb\\nc\\n'"), shown(expected))


@pytest.mark.parametrize("expected", ["a\nb", "a\nb\nd", "b\nc", "a\nc", "a\nb\nc\nd", "…\nb"])
def test_an_output_that_does_not_fit(session: Session, expected: str) -> None:
    with pytest.raises(PageError, match="the output"):
        run(session, shell("printf 'a\\nb\\nc\\n'"), shown(expected))


def test_exit_codes(session: Session) -> None:
    run(session, shell("exit 3   # exit code 3"))
    with pytest.raises(PageError, match="line 1: exit code 3 instead of 0: exit 3"):
        run(session, shell("exit 3"))


def test_a_session_stays_in_its_folder_and_keeps_its_variables(session: Session) -> None:
    run(session, shell("mkdir a\ncd a\nexport X=1\nY=2"), shell("basename $PWD\necho $X$Y"), shown("a\n12"))
    run(session, "```sql\n-- b/c.sql\nSELECT 1;\n```\n", shell("cat b/c.sql"), shown("-- b/c.sql\nSELECT 1;"))
    assert (session.folder / "a/b/c.sql").exists()


def test_a_reader_sees_a_terminal_without_progress(session: Session) -> None:
    run(session, shell("test -t 1 && printf 'half\\r\\033[2Kdone in 0.7 s\\n'"), shown("done in 2.5 s"))


def test_the_command_and_python_run(session: Session) -> None:
    run(session, shell("opensea-metrics --version | cut -d ' ' -f 1"), shown("opensea-metrics"))
    run(session, "```python\nprint(1 + 1)\n```\n", shown("2"))
    with pytest.raises(PageError, match="No such option: --nonsense"):
        run(session, shell("opensea-metrics plan --nonsense"))


def test_commands_of_a_block() -> None:
    text = "one \\\n  two\n# a comment\n\nthree 'a\nb'\ncat <<EOF\nx\nEOF\nfor x in a; do\n  y\ndone\n"
    assert [*commands(text)] == ["one \\\n  two", "three 'a\nb'", "cat <<EOF\nx\nEOF", "for x in a; do\n  y\ndone"]
