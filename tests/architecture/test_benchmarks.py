"""Pages hold what benches write into them: the figures that were kept, in today's words, at the bench's own place."""

from __future__ import annotations

import re

import pytest

from bench.figures import pages
from bench.figures.end_to_end import EndToEnd
from bench.figures.housekeeping import Housekeeping
from bench.figures.measured import Measured
from bench.figures.overload import Overload
from bench.figures.rollouts import Rollouts
from tests.architecture.sources import ROOT

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
KINDS: tuple[type[Measured], ...] = (EndToEnd, Housekeeping, Overload, Rollouts)
MARK = re.compile(r"^<!-- .*: written by .* -->$", re.MULTILINE)


def kept(kind: type[Measured]) -> Measured:
    return kind.parse((PAGE.with_suffix("") / f"{kind.BENCH}.json").read_bytes())


def of_bench(kind: type[Measured]) -> str:
    return kind.BENCH


@pytest.mark.parametrize("kind", KINDS, ids=of_bench)
def test_the_page_says_what_was_kept_of_the_bench(kind: type[Measured]) -> None:
    page = PAGE.read_text()
    assert pages.replaced(page, kind.mark(), kept(kind).markdown()) == page


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.drawing is not Measured.drawing], ids=of_bench)
def test_the_drawing_shows_what_was_kept_of_the_bench(kind: type[Measured]) -> None:
    assert (ROOT / "docs" / "images" / f"{kind.BENCH}.svg").read_text() == kept(kind).drawing()
    assert f"(../images/{kind.BENCH}.svg)" in PAGE.read_text()


@pytest.mark.parametrize("kind", KINDS, ids=of_bench)
def test_the_part_stands_below_the_heading_that_names_its_bench(kind: type[Measured]) -> None:
    before, _, _ = PAGE.read_text().partition(kind.mark())
    assert before.rpartition("\n## ")[2].partition("\n")[0].endswith(f"(`bench/{kind.BENCH}.py`)")


@pytest.mark.parametrize("kind", KINDS, ids=of_bench)
def test_the_command_hands_the_page_to_the_bench(kind: type[Measured]) -> None:
    script = (ROOT / "script" / "bench").read_text()
    cases = [case.partition(")") for case in script.partition("case $name in")[2].partition("esac")[0].split(";;")]
    (case,) = (commands for names, _, commands in cases if kind.BENCH in re.split(r"[\s|]+", names))
    assert '--json "$kept" --page "$page"' in case


@pytest.mark.parametrize(
    ("page", "marks"),
    [
        ("reference/benchmarks.md", [kind.mark() for kind in KINDS]),
        (
            "explanation/rollouts.md",
            [pages.mark(name, "python -m bench.policies") for name in ("comparison", "false stops")],
        ),
    ],
)
def test_a_page_has_the_marks_of_its_benches_in_pairs_and_no_others(page: str, marks: list[str]) -> None:
    found = MARK.findall((ROOT / "docs" / page).read_text())
    assert found[::2] == found[1::2]
    assert sorted(found[::2]) == sorted(marks)


def test_a_missing_mark_is_found() -> None:
    page = PAGE.read_text()
    with pytest.raises(ValueError, match="pairs"):
        pages.replaced(page.replace(EndToEnd.mark(), "", 1), EndToEnd.mark(), "")
