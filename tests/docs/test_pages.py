"""Every code block of every page runs, and prints what the page shows. Links lead somewhere."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.docs.conftest import Open, Start
from tests.docs.markdown import (
    ROOT,
    RUN,
    Block,
    anchors,
    blocks,
    first_paragraph,
    headings,
    links,
    pages,
)
from tests.docs.session import PageError

STARTS = {
    "README.md": Start.PROJECT,
    "deploy/project_template/README.md": Start.NEW_PROJECT,
    "docs/archive.md": Start.MARKET,
    "docs/change-between-windows.md": Start.MARKET,
    "docs/dashboard.md": Start.MARKET,
    "docs/maintenance.md": Start.NEW_PROJECT,
    "docs/migrations.md": Start.NEW_PROJECT,
    "docs/operations.md": Start.MARKET,
    "docs/queries.md": Start.MARKET,
    "docs/recompute.md": Start.MARKET,
    "docs/testing.md": Start.PROJECT,
}
"""Pages that begin with more than an empty folder."""
RUN_ELSEWHERE = {"docs/buyers-and-sellers.md", "docs/recipes.md"}
"""Pages whose blocks another module runs, because it also compares values."""
OUTPUTS = ("text", "json", "csv")
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in pages()}
BLOCKS = {name: list(blocks(text)) for name, text in TEXTS.items()}
SHARE = 0.05


@pytest.mark.parametrize("page", [name for name in BLOCKS if BLOCKS[name] and name not in RUN_ELSEWHERE])
def test_the_blocks_run(page: str, opened: Open) -> None:
    with opened(STARTS.get(page, Start.NOTHING)) as session:
        for block in BLOCKS[page]:
            if block.not_run or block.is_figure:
                continue
            if block.language == "yaml" and not block.path:
                yaml.safe_load(block.text)
                continue
            assert block.language in RUN + OUTPUTS or block.path, f"line {block.line}: {block.language!r}"
            try:
                session.run(block)
            except PageError as error:
                pytest.fail(f"{page}: {error}", pytrace=False)


def test_few_blocks_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    every = [block for page in BLOCKS.values() for block in page if not block.is_figure]
    kinds = Counter("not run" if block.not_run else _kind(block) for block in every)
    with capsys.disabled():
        print("\ncode blocks of the documentation:", ", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    assert kinds["not run"] <= SHARE * len(every)


def _kind(block: Block) -> str:
    return "compared" if block.language in OUTPUTS and not block.path else "run"


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in links(TEXTS[page]):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in TEXTS if not page.startswith(".github")])
def test_a_page_has_one_title_and_says_what_it_is_for(page: str) -> None:
    assert [level for level, _ in headings(TEXTS[page])].count(1) == 1
    assert len(first_paragraph(TEXTS[page]).split()) > 5


@pytest.mark.parametrize("page", [page for page in TEXTS if page.startswith("docs/")])
def test_a_page_can_be_reached_from_the_readme(page: str) -> None:
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        targets = {(path.parent / link.partition("#")[0]).resolve() for link in links(path.read_text(encoding="utf-8"))}
        new = {target for target in targets if target.suffix == ".md" and target.exists()} - reached
        reached |= new
        pending += new
    assert ROOT / page in reached
