"""How rollouts are shown: a table of stages, one line in a pipe, bars on a terminal.

Rules:
- Stages are counted from 1, as in the server's sentences.
- A pipe gets every number in a column of its own, a terminal those that are not 0.
- A line says the same each time, in the same order, so that scripts can read it.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli import outputs
from orchestrator.cli.documents import NOTHING, cell, items, number
from orchestrator.cli.endings import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from orchestrator.cli.documents import Document
    from orchestrator.cli.outputs import Output

FAILURES = ("failed", "reverted", "expired")
COUNTS = ("offered", "installing", "soaking", "confirmed", *FAILURES)
STAGE_COLUMNS = ("stage", "admits", "state", "endpoints", "waiting", *COUNTS, "offline", "failure rate", "limit")
NARROW_COLUMNS = ("stage", "admits", "state", "endpoints", "of them", "failure rate", "limit")
"""On a terminal, which all of the others would not fit in."""
LIST_COLUMNS = ("version", "state", "stage", "since", "summary")
BAR_CHARACTERS = 40
_PARTS = (
    ("█", "green", ("confirmed",)),
    ("▓", "yellow", ("soaking",)),
    ("▒", "cyan", ("offered", "installing")),
    ("✗", "red", FAILURES),
)
"""Of a bar: sign, colour, and what is counted."""


def show(output: Output, rollout: Document) -> None:
    """Print a rollout: where it is, why it waits, its stages, and what went wrong."""
    names = ("version", "state", "since", "by", "reason", "summary")
    output.record({**{name: rollout.get(name) for name in names}, "stage": place(rollout)})
    output.say("")
    narrow = outputs.is_terminal()
    row = _narrow_row if narrow else _stage_row
    rows = [row(index, stage) for index, stage in enumerate(items(rollout, "stages"), 1)]
    output.table(NARROW_COLUMNS if narrow else STAGE_COLUMNS, rows)
    failures = [(item.get("endpoints"), _kind(item), item.get("reason")) for item in items(rollout, "failures")]
    if failures:
        output.say("")
        output.table(("endpoints", "kind", "reason"), failures)


def list_row(rollout: Document) -> tuple[object, ...]:
    """A rollout among others."""
    return (
        rollout.get("version"),
        rollout.get("state"),
        place(rollout),
        rollout.get("since"),
        rollout.get("summary"),
    )


def place(rollout: Document) -> str:
    """The present stage and how many there are, such as `2/3`."""
    return f"{number(rollout, 'stage') + 1}/{len(items(rollout, 'stages'))}"


def admits(stage: Document) -> str:
    """Whom a stage admits beside those of earlier ones."""
    if isinstance(stage.get("filter"), str):
        return f"filter {cell(stage.get('filter'))}"
    if stage.get("count") is not None:
        count = number(stage, "count")
        return "1 endpoint" if count == 1 else f"{count} endpoints"
    return _percent_of(stage.get("percent"))


def line(rollout: Document) -> str:
    """State, stage, the numbers of all stages together, and why it waits, parted by tabs."""
    stages = items(rollout, "stages")
    counts = " ".join(f"{name}={sum(number(stage, name) for stage in stages)}" for name in COUNTS)
    return "\t".join((cell(rollout.get("state")), place(rollout), counts, cell(rollout.get("summary"))))


def picture(rollout: Document, trouble: str = "") -> RenderableType:
    """Bars of the stages; `trouble` is why nothing comes, if so."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for index, stage in enumerate(items(rollout, "stages"), 1):
        counts = _counted(stage, COUNTS, " ")
        table.add_row(Text(f"{index}"), Text(admits(stage)), _bar(stage), Text(cell(stage.get("state"))), Text(counts))
    head = f"{cell(rollout.get('version'))}: {cell(rollout.get('state'))}, stage {place(rollout)}"
    note = Text(printable(trouble) or "Ctrl-C ends", style="yellow" if trouble else "dim")
    return Group(Text(head, style="bold"), Text(cell(rollout.get("summary"))), table, *_failures(rollout), note)


def _failures(rollout: Document) -> list[Table]:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for item in items(rollout, "failures"):
        kind = Text(_kind(item), style="red")
        table.add_row(kind, Text(cell(item.get("endpoints"))), Text(cell(item.get("reason"))))
    return [table] if table.row_count else []


def _kind(failure: Document) -> str:
    return "unhealthy" if failure.get("unhealthy") else "failed"


def _bar(stage: Document) -> Text:
    """Confirmed, soaking, under way and failed, as shares of the stage's endpoints."""
    from rich.text import Text

    amounts = [sum(number(stage, name) for name in names) for _, _, names in _PARTS]
    total = max(number(stage, "endpoints"), sum(amounts), 1)
    bar = Text()
    done = filled = 0
    for amount, (sign, colour, _) in zip(amounts, _PARTS, strict=True):
        done += amount
        width = round(BAR_CHARACTERS * done / total) - filled
        bar.append(sign * width, style=colour)
        filled += width
    bar.append("·" * (BAR_CHARACTERS - filled), style="dim")
    return bar


def _stage_row(index: int, stage: Document) -> tuple[object, ...]:
    counts = [stage.get(name) for name in COUNTS]
    shown = (stage.get("state"), stage.get("endpoints"), stage.get("waiting"), *counts, stage.get("offline"))
    return (index, admits(stage), *shown, _rate(stage), _percent(stage.get("maxFailureRate")))


def _narrow_row(index: int, stage: Document) -> tuple[object, ...]:
    counted = _counted(stage, ("waiting", *COUNTS, "offline"), ", ") or NOTHING
    rate, limit = _rate(stage), _percent(stage.get("maxFailureRate"))
    return (index, admits(stage), stage.get("state"), stage.get("endpoints"), counted, rate, limit)


def _counted(stage: Document, names: tuple[str, ...], between: str) -> str:
    """The numbers that are not 0, with their names."""
    return between.join(f"{name} {number(stage, name)}" for name in names if number(stage, name))


def _rate(stage: Document) -> str:
    rate = _percent(stage.get("failureRate"))
    match stage.get("bounds"):
        case [int() | float() as low, int() | float() as high]:
            return f"{rate} ({100 * low:.1f}-{100 * high:.1f} %)"
        case _:
            return rate


def _percent(share: object) -> str:
    return f"{100 * share:.1f} %" if isinstance(share, int | float) else NOTHING


def _percent_of(percent: object) -> str:
    return f"{percent:g} %" if isinstance(percent, int | float) else NOTHING
