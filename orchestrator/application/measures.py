"""How large a stage is, as the storage has found out.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.routes import reaching

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.gates import Size
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A stage as it is."""

    size: Size
    members: frozenset[int] | None
    """The keys of the endpoints that it has to take in, so that it has those that it shall; None: as it is.

    All of a number; of a percentage the one, or nobody, since it has endpoints of its own.
    """


def leading(
    catalogue: Catalogue, item: Software, running: Iterable[Version | None], now: datetime
) -> frozenset[Version | None]:
    """Which of the versions that endpoints run could come to a software, by edges through what can be served.

    The software itself counts as if it could be, also after its end. Not those that are recalled: whoever runs one is
    rescued, outside stages.
    """
    goal = 1 << catalogue.index[item.version]
    towards = reaching(catalogue, goal, (catalogue.servable & ~catalogue.ended(now)) | goal)
    return frozenset(
        version
        for version in running
        if catalogue.successors(version) & towards and (version is None or _below(version, item, catalogue))
    )


def _below(version: Version, item: Software, catalogue: Catalogue) -> bool:
    known = catalogue.get(version)
    return version < item.version and not (known is not None and known.recalled)
