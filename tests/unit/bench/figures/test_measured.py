from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import ValidationError

from bench.figures import measured
from bench.figures.measured import Measured
from tests.unit.bench.figures.test_origins import ORIGIN

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Some(Measured):
    BENCH: ClassVar[str] = "some"

    rows: tuple[tuple[str, float], ...]

    def markdown(self) -> str:
        return f"{self.rows}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Some):
    def drawing(self) -> str:
        return "<svg/>"


FOUND = Drawn(origin=ORIGIN, rows=(("a", 1.5), ("b", 2.0)))


def flags(kind: type[Measured], *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    measured.add_flags(parser, kind)
    return parser.parse_args(arguments)


def page(folder: Path) -> Path:
    place = folder / "page.md"
    place.write_text(f"{Some.mark()}\n{Some.mark()}\n")
    return place


def nothing(_: argparse.Namespace) -> Drawn:
    raise AssertionError


def test_what_is_kept_is_read_again() -> None:
    assert Drawn.parse(FOUND.build()) == FOUND


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(ValidationError):
        Drawn.parse('{"rows": []}')


def test_it_is_kept_and_written_into_page_and_drawing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, drawing = tmp_path / "new" / "some.json", tmp_path / "some.svg"
    place = page(tmp_path)
    given = flags(Drawn, "--json", str(kept), "--page", str(place), "--drawing", str(drawing))
    assert measured.run(Drawn, given, lambda _: FOUND) == FOUND
    assert Drawn.parse(kept.read_bytes()) == FOUND
    assert place.read_text() == f"{Some.mark()}\n\n{FOUND.markdown()}\n{Some.mark()}\n"
    assert drawing.read_text() == "<svg/>"
    assert FOUND.markdown() in capsys.readouterr().out


def test_what_was_kept_before_is_taken_and_neither_measured_nor_kept_again(tmp_path: Path) -> None:
    kept = tmp_path / "some.json"
    kept.write_bytes(FOUND.build())
    other, place = tmp_path / "other.json", page(tmp_path)
    given = flags(Drawn, "--from", str(kept), "--json", str(other), "--page", str(place))
    assert measured.run(Drawn, given, nothing) == FOUND
    assert FOUND.markdown() in place.read_text()
    assert not other.exists()


def test_a_bench_without_a_drawing_has_no_flag_for_it() -> None:
    assert not hasattr(flags(Some), "drawing")
    with pytest.raises(SystemExit):
        flags(Some, "--drawing", "x")
