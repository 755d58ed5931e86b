"""Visits of pages in tests: the service without its broker, and somebody who reads what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

    from tests.system.rests import Rest

# HTML's elements without an end.
_VOID = frozenset({"meta", "link", "input", "img", "br", "wbr"})
_INLINE = frozenset({"a", "b", "code", "span", "strong", "time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str | None]


@dataclass(slots=True)
class Page:
    """What a page holds."""

    text: str
    """Everything that people read, blanks collapsed."""
    elements: list[Element]

    def links(self) -> list[str]:
        return [item.attributes["href"] or "" for item in self.elements if item.tag == "a"]

    def forms(self) -> list[str]:
        return [item.attributes.get("action") or "" for item in self.elements if item.tag == "form"]


@dataclass(slots=True)
class _Reader:
    texts: list[str] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


class _Parser(HTMLParser):
    """Reads a page, and refuses one whose elements are not closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = _Reader()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.elements.append(Element(tag=tag, attributes=dict(attrs)))
        self.found.texts.append("" if tag in _INLINE else " ")
        if tag not in _VOID:
            self.found.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.elements.append(Element(tag=tag, attributes=dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.found.open, f"</{tag}> closes nothing"
        assert self.found.open.pop() == tag
        self.found.texts.append("" if tag in _INLINE else " ")

    def handle_data(self, data: str) -> None:
        self.found.texts.append(data)


def read(html: str) -> Page:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert parser.found.open == []
    return Page(text=" ".join("".join(parser.found.texts).split()), elements=parser.found.elements)


async def visit(rest: Rest, path: str, status: int = 200) -> Page:
    """Read a page; its headers are those of every page."""
    response = await rest.client.get(path)
    assert response.status_code == status, response.text
    check_headers(response)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return read(response.text)


async def post(rest: Rest, path: str, **fields: str) -> httpx2.Response:
    """Send a form as a browser does."""
    return await rest.client.post(path, data=fields, headers={"Sec-Fetch-Site": "same-origin"})


def check_headers(response: httpx2.Response) -> None:
    assert response.headers["content-security-policy"] == "default-src 'self'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "same-origin"
