"""Outcomes for people: a table in Markdown, and a drawing of how many devices were harmed by when.

Rules:
- Outcomes of one release under one policy, from several seeds, are one row and one line: the mean of what was harmed,
  the median of times.
- Both axes of the drawing are logarithmic: policies differ by orders of magnitude. What is 0 lies on the floor.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import exp, log, log10
from statistics import mean, median_low
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bench.figures.drawings import FAINT, LINE, PAPER, SERIES, opened, text
from bench.policies.fleets import DAY, HORIZON, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.policies.outcomes import Outcome

HEADINGS = ("release", "policy", "devices harmed", "of the fleet", "stopped", "95 % updated")
PANEL_WIDTH, PANEL_HEIGHT = 330, 210
LEFT, TOP, RIGHT, BOTTOM = 56, 46, 124, 34
"""Room about a panel, for its labels."""
COLUMNS = 2
FIRST = 10 * MINUTE
"""Where the axis of time begins."""
TICKS = {HOUR: "1 h", 6 * HOUR: "6 h", DAY: "1 d", 3 * DAY: "3 d", HORIZON: "14 d"}
LINE_GAP = 13
"""Between two labels, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One release under one policy."""

    release: str
    policy: str
    outcomes: tuple[Outcome, ...]

    @property
    def harmed(self) -> float:
        """Devices harmed, on the mean."""
        return mean(outcome.harmed for outcome in self.outcomes)

    def harmed_by(self, at: int) -> float:
        """Devices harmed until then, on the mean."""
        return mean(bisect_right(outcome.harmed_at, at) for outcome in self.outcomes)

    @property
    def stops(self) -> list[int]:
        """When it was stopped, for each run in which it was."""
        return [outcome.stopped_at for outcome in self.outcomes if outcome.stopped_at is not None]

    @property
    def ends(self) -> list[int]:
        """When enough were updated, for each run in which they were."""
        return [outcome.finished_at for outcome in self.outcomes if outcome.finished_at is not None]


def series(outcomes: Iterable[Outcome]) -> list[Series]:
    """Return the outcomes by release and policy, both in the order in which they first appear."""
    found: dict[str, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.release, {}).setdefault(outcome.policy, []).append(outcome)
    return [
        Series(release=release, policy=policy, outcomes=tuple(runs))
        for release, policies in found.items()
        for policy, runs in policies.items()
    ]


def span(seconds: int) -> str:
    """Return a time for people: minutes, hours or days."""
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / DAY:.1f} d"


def markdown(outcomes: Iterable[Outcome]) -> str:
    """Return a table with one row for each release and policy."""
    rows = [HEADINGS, ("---", "---", "---:", "---:", "---", "---"), *map(_row, series(outcomes))]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(line: Series) -> tuple[str, ...]:
    devices = line.outcomes[0].devices
    return (
        line.release,
        line.policy,
        f"{line.harmed:,.0f}",
        f"{100 * line.harmed / devices:.2f} %",
        _times(line.stops, len(line.outcomes), "falsely " if not line.outcomes[0].bad else ""),
        _times(line.ends, len(line.outcomes), ""),
    )


def _times(instants: Sequence[int], runs: int, how: str) -> str:
    if not instants:
        return "never"
    share = "" if len(instants) == runs else f"in {len(instants)} of {runs} runs, "
    return f"{how}{share}after {span(median_low(instants))}"


def svg(outcomes: Iterable[Outcome]) -> str:
    """Return a drawing with a panel for each release that harmed anybody, a line for each policy."""
    lines = series(outcomes)
    harmful = {line.release for line in lines if line.harmed}
    releases = [release for release in dict.fromkeys(line.release for line in lines) if release in harmful]
    policies = list(dict.fromkeys(line.policy for line in lines))
    ceiling = max(line.outcomes[0].devices for line in lines)
    width = COLUMNS * (LEFT + PANEL_WIDTH + RIGHT)
    height = -(-len(releases) // COLUMNS) * (TOP + PANEL_HEIGHT + BOTTOM)
    head = opened(width, height, "Devices harmed by a bad release, by when, under each policy")
    panels = []
    for place, release in enumerate(releases):
        row, column = divmod(place, COLUMNS)
        x, y = column * (LEFT + PANEL_WIDTH + RIGHT) + LEFT, row * (TOP + PANEL_HEIGHT + BOTTOM) + TOP
        chosen = [line for line in lines if line.release == release]
        panels.append(_panel(release, chosen, policies, ceiling, (x, y)))
    return "".join([head, *panels, "</svg>\n"])


def _panel(title: str, lines: list[Series], policies: list[str], ceiling: int, corner: tuple[int, int]) -> str:
    parts = [
        f'<g transform="translate({corner[0]},{corner[1]})">\n',
        text(0, -26, title, size=13, weight="bold"),
        text(0, -10, "devices harmed; a circle: stopped", colour=FAINT),
        *_grid(ceiling),
    ]
    labels = []
    for line in lines:
        colour = SERIES[policies.index(line.policy) % len(SERIES)]
        points = " ".join(
            f"{pixel},{_y(line.harmed_by(_instant(pixel)), ceiling):.1f}" for pixel in range(0, PANEL_WIDTH + 1, 2)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>\n')
        if line.stops:
            at = median_low(line.stops)
            parts.append(
                f'<circle cx="{_x(at):.1f}" cy="{_y(line.harmed_by(at), ceiling):.1f}" r="4" fill="{PAPER}" '
                f'stroke="{colour}" stroke-width="2"><title>{escape(line.policy)} stops</title></circle>\n'
            )
        labels.append((_y(line.harmed, ceiling), f"{line.policy}: {line.harmed:,.0f}", colour))
    return "".join([*parts, *_labels(labels), "</g>\n"])


def _grid(ceiling: int) -> list[str]:
    parts = []
    for exponent in range(int(log10(ceiling)) + 1):
        y = _y(10**exponent, ceiling)
        parts += [
            f'<line x1="0" y1="{y:.1f}" x2="{PANEL_WIDTH}" y2="{y:.1f}" stroke="{LINE}"/>\n',
            text(-6, y + 4, f"{10**exponent:,}", colour=FAINT, anchor="end"),
        ]
    for at, name in TICKS.items():
        x = _x(at)
        parts += [
            f'<line x1="{x:.1f}" y1="{PANEL_HEIGHT}" x2="{x:.1f}" y2="{PANEL_HEIGHT + 4}" stroke="{FAINT}"/>\n',
            text(x, PANEL_HEIGHT + 17, name, colour=FAINT, anchor="middle"),
        ]
    parts.append(f'<line x1="0" y1="{PANEL_HEIGHT}" x2="{PANEL_WIDTH}" y2="{PANEL_HEIGHT}" stroke="{FAINT}"/>\n')
    return parts


def _labels(labels: list[tuple[float, str, str]]) -> list[str]:
    """Labels at the ends of their lines, from the lowest up, none over another."""
    parts = []
    free = float(PANEL_HEIGHT + LINE_GAP)
    for y, words, colour in sorted(labels, reverse=True):
        free = min(y, free - LINE_GAP)
        parts.append(text(PANEL_WIDTH + 6, free + 4, words, colour=colour, weight="bold"))
    return parts


def _x(at: int) -> float:
    return PANEL_WIDTH * log10(max(at, FIRST) / FIRST) / log10(HORIZON / FIRST)


def _instant(pixel: int) -> int:
    return round(FIRST * exp(log(HORIZON / FIRST) * pixel / PANEL_WIDTH))


def _y(amount: float, ceiling: int) -> float:
    """The floor stands for less than one; 1 is a little above it."""
    decades = log10(ceiling) + 0.3
    return PANEL_HEIGHT * (1 - (log10(amount) + 0.3) / decades) if amount >= 1 else float(PANEL_HEIGHT)
