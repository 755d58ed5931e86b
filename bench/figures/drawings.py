"""What drawings of figures have in common: their head, their colours, their text.

Rules:
- A drawing brings its own paper, and has other colours where the reader's page is dark.
- Text is text, so that it can be searched, selected and read aloud.

Spec: SVG 1.1 §6 (presentation attributes, which a style sheet overrides).
"""

from __future__ import annotations

from xml.sax.saxutils import escape

PAPER, INK, FAINT, LINE = "#ffffff", "#222222", "#555555", "#dddddd"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#666666", "#cc79a7", "#e69f00")
"""Told apart with every kind of colour vision (Okabe and Ito)."""
DARK = {
    PAPER: "#16191d",
    INK: "#e8eaed",
    FAINT: "#a9afb8",
    LINE: "#3a3f46",
    "#0072b2": "#56b4e9",
    "#d55e00": "#ff8c42",
    "#009e73": "#2fc997",
    "#666666": "#a3a3a3",
    "#cc79a7": "#e39ac4",
    "#e69f00": "#e69f00",
}
"""What each colour becomes on a dark page."""


def opened(width: int, height: int, title: str) -> str:
    """Return the beginning of a drawing: its size in pixels, its title, its colours in the dark, its paper."""
    dark = "".join(f'[fill="{light}"]{{fill:{it}}}[stroke="{light}"]{{stroke:{it}}}' for light, it in DARK.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="sans-serif" font-size="11">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>\n"
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n'
    )


def text(
    x: float, y: float, words: str, *, colour: str = INK, anchor: str = "start", size: int = 11, weight: str = ""
) -> str:
    """Return words at a place: `y` is their base line, `anchor` says which of their ends is at `x`."""
    bold = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}"{bold}>'
        f"{escape(words)}</text>\n"
    )


def line(start: tuple[float, float], end: tuple[float, float], *, colour: str = LINE, more: str = "") -> str:
    """Return a straight line; `more` are further attributes."""
    attributes = f" {more}" if more else ""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}"{attributes}/>\n'
    )
