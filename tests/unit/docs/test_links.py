"""Every relative link and picture of the Markdown files exists, headings too; every picture kept is shown somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("protocol/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MOST_BYTES = 4_000_000


def links(page: Path) -> list[str]:
    """Targets of a page's links, without code and without addresses of other places."""
    found = LINK.findall(CODE.sub("", page.read_text("utf-8")))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links."""
    whole = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", whole, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
        if heading and there.suffix == ".md":
            assert heading in anchors(there), f"{page.relative_to(ROOT)} links to {target}: no such heading"


def test_pictures_are_shown_and_small() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(page)}
    kept = {file for file in IMAGES.iterdir() if file.is_file()}
    assert kept <= shown, f"shown nowhere: {sorted(file.name for file in kept - shown)}"
    assert sum(file.stat().st_size for file in kept) < MOST_BYTES


def test_every_page_of_the_guide_is_listed_and_has_ten_steps() -> None:
    guide = ROOT / "docs" / "guide"
    listed = {target.partition("#")[0] for target in links(guide / "index.md")}
    for page in sorted(guide.glob("*.md")):
        if page.name != "index.md":
            assert page.name in listed, f"docs/guide/index.md does not list {page.name}"
            steps = re.findall(r"^(\d+)\. ", page.read_text("utf-8"), re.MULTILINE)
            assert steps == [str(number) for number in range(1, 11)], f"{page.name} has not ten numbered steps"
