"""Links in the documentation lead somewhere: to files that are there, and to headings that they have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.architecture.sources import ROOT, committed

if TYPE_CHECKING:
    from pathlib import Path

FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(?P<target>\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)

DOCUMENTS = [path for path in committed() if path.suffix == ".md"]


def targets(text: str) -> list[str]:
    prose = FENCE.sub("", text)
    linked = CODE.sub("", prose)
    return [match["target"] for pattern in (LINK, REFERENCE) for match in pattern.finditer(linked)]


def anchors(text: str) -> set[str]:
    """Name a document's headings as forges do: lower case, punctuation dropped, blanks as hyphens, repeats numbered."""
    found: set[str] = set()
    for match in HEADING.finditer(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"]).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeats = sum(name == slug or re.fullmatch(re.escape(slug) + r"-\d+", name) is not None for name in found)
        found.add(f"{slug}-{repeats}" if repeats else slug)
    return found


def broken(document: Path) -> list[str]:
    wrong = []
    for target in targets(document.read_text()):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or not file.is_relative_to(ROOT):
            wrong.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            wrong.append(f"{target}: no such heading")
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_the_document_resolves(document: Path) -> None:
    assert broken(document) == []


def test_broken_links_are_found_and_good_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.test_documents.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# One `code` heading\n\n```sh\n# no heading\n```\n")
    document = tmp_path / "page.md"
    document.write_text(
        "[a](other.md) [b](other.md#one-code-heading) [c](https://example.org) `[d](gone.md)`\n"
        "```\n[e](gone.md)\n```\n[f](gone.md) [g](other.md#no-heading)\n[h]: missing.md\n"
    )
    assert broken(document) == [
        "gone.md: no such file",
        "other.md#no-heading: no such heading",
        "missing.md: no such file",
    ]
