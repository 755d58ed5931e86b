"""What one run of a bench has found: kept in a file, from which its part of the page can be written again.

Rules:
- Page and drawing follow from the file alone.
- The file has what was measured; medians and ratios are worked out from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from pydantic import TypeAdapter

from bench.figures import pages
from bench.figures.origins import Origin  # noqa: TC001 - Pydantic reads the annotation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

Figures = TypeVar("Figures", bound="Measured")
OUT = Path(__file__).parents[1] / "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(ABC):
    """The figures of one run."""

    BENCH: ClassVar[str]
    """What `script/bench` calls it."""

    origin: Origin

    @abstractmethod
    def markdown(self) -> str:
        """Return the part of the page."""

    def drawing(self) -> str:
        """Return the figures as SVG; empty where there is no drawing."""
        return ""

    @classmethod
    def mark(cls) -> str:
        """Return what stands before and after the part in the page."""
        return pages.mark("figures", f"script/bench {cls.BENCH}")

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """Return the figures that a file holds.

        Raises:
            pydantic.ValidationError: it holds something else.
        """
        return TypeAdapter(cls).validate_json(text)

    def build(self) -> bytes:
        """Return what a file is to hold."""
        return TypeAdapter(type(self)).dump_json(self, indent=1) + b"\n"


def add_flags(parser: argparse.ArgumentParser, kind: type[Measured]) -> None:
    """Add where figures come from and where they go."""
    parser.add_argument("--json", type=Path, default=OUT / f"{kind.BENCH}.json", help="what was found is kept there")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing, take what was kept there")
    parser.add_argument("--page", type=Path, help="write the tables between the marks of this page")
    if kind.drawing is not Measured.drawing:
        parser.add_argument("--drawing", type=Path, help="write the drawing there")
    parser.add_argument("--note", action="append", default=[], help="a sentence about this run, for the page")


def run(kind: type[Figures], flags: argparse.Namespace, measure: Callable[[argparse.Namespace], Figures]) -> Figures:
    """Measure, or take what was kept; print the figures, and write them wherever the flags say."""
    figures = measure(flags) if flags.source is None else kind.parse(flags.source.read_bytes())
    text = figures.markdown()
    print(f"\n{text}", end="")
    if flags.source is None:
        flags.json.parent.mkdir(parents=True, exist_ok=True)
        flags.json.write_bytes(figures.build())
    if flags.page is not None:
        flags.page.write_text(pages.replaced(flags.page.read_text(), figures.mark(), text))
    if getattr(flags, "drawing", None) is not None:
        flags.drawing.write_text(figures.drawing())
    return figures
