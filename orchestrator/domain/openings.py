"""Which hops are open for an endpoint now, and what keeps the others closed.

Rules:
- A hop is eligible already. It is open when its rollout is not paused, its stages admit the endpoint, its date has
  come, its window is open, the back-off is over, and consent is given where it is required.
- A pin sets stages, dates, the end and windows aside; a rescue from recalled software sets stages, windows and consent
  aside. A freeze, and the endpoint's own soak, hold everything; a rescue waits for no soak.
- Limits are not looked at: a hop that is open waits for its turn (`pacing`), and no other is taken instead.

Spec: docs/reference/rest-api.md, "Why".
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain import rules, windows
from orchestrator.domain.bitsets import members
from orchestrator.domain.policies import OnClose

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.policies import Window
    from orchestrator.domain.software import Software
    from orchestrator.domain.standings import Standing


@dataclass(slots=True, kw_only=True)
class Openness:
    """Hops, as sets of their numbers."""

    open: int = 0
    kept: int = 0
    """Closed by their window only, which leaves offers that were made."""
    asking: int = 0
    """Those that only want consent, which nobody has refused."""
    refused: int = 0
    """Those to which consent was refused."""
    moments: list[datetime] = field(default_factory=list)
    """When others open."""

    @property
    def until(self) -> datetime | None:
        """The earliest instant at which one opens that is not open now; None when none is known."""
        return min(self.moments, default=None)


def of(hops: int, standing: Standing, catalogue: Catalogue, now: datetime) -> Openness:
    """Return which of `hops`, direct successors on a route, are open."""
    found = Openness()
    rescue = rules.rescued(standing, catalogue)
    if catalogue.freeze is not None or (standing.soaking is not None and not rescue):
        return found
    # Stages do not hold a pinned or a rescued endpoint.
    held = 0 if rescue or standing.pinned is not None else standing.held
    consented = rules.consented(hops, standing, catalogue)
    refused = rules.numbers(standing.refused, catalogue) & hops & ~consented
    for number in members(hops & ~held):
        item, bit = catalogue.software[number], 1 << number
        if item.rollout.held:
            continue
        if refused & bit:
            found.refused |= bit
        else:
            _place(item, bit, standing, now, found, rescue=rescue, consented=bool(consented & bit))
    return found


def _place(
    item: Software, bit: int, standing: Standing, now: datetime, found: Openness, *, rescue: bool, consented: bool
) -> None:
    date = rules.opens_at(item, standing)
    begin = now if date is None else max(date, now)
    window = None if rescue or standing.pinned is not None else item.policy.window
    moment = begin if window is None else _first_open(window, begin, standing.zone)
    if not consented:
        found.asking |= bit if moment == now else 0
    elif moment == now:
        found.open |= bit
    else:
        # Before its date nothing was offered that could be kept.
        found.kept |= bit if begin == now and window is not None and window.on_close is OnClose.KEEP else 0
        ended = moment is not None and standing.pinned is None and item.over(moment)
        found.moments += [] if moment is None or ended else [moment]


def _first_open(window: Window, at: datetime, zone: str | None) -> datetime | None:
    opening = windows.state(window, at, zone)
    return at if opening.open else opening.until
