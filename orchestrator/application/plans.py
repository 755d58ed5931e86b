"""Plans: what software or a whole catalogue would do to the fleet, before anything is stored.

Rules:
- A plan stores nothing, holds nobody up, and needs no application: without one it has no endpoints.
- What a PUT would refuse, a plan refuses in the same way.
- Specifications may hold credentials: a warning names the version, never what is in it.

Layer: application.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application import downloads, outlines, surveys
from orchestrator.application.documents import plans as documents
from orchestrator.application.problems import AppVersionInUseError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.application.rooms import Ledger
from orchestrator.domain import cautions, estimates
from orchestrator.domain.expressions import Name
from orchestrator.domain.plans import Planner
from protocol import configurations, packets, topics
from protocol.configurations import Profile
from protocol.topics import NAME_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from orchestrator.application.directory import Directory
    from orchestrator.application.documents.declarations import Declaration
    from orchestrator.application.documents.plans import Proposal
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.downloads import Downloads
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.outlines import Outline
    from orchestrator.application.ports import Clock
    from orchestrator.application.records import Registration
    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances


class Plans:
    """Plans for all applications."""

    def __init__(
        self,
        storage: EditingStorage,
        directory: Directory,
        clock: Clock,
        downloads: Downloads,
        *,
        registration: Registration,
        instances: Instances,
        offer_bytes: int,
    ) -> None:
        """Take what a plan looks at; offers whose packets are larger than `offer_bytes` are warned of."""
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._downloads = downloads
        self._registration = registration
        self._instances = instances
        self._offer_bytes = offer_bytes

    async def plan(self, application: str, proposal: Proposal) -> Document:
        """What the proposal would do.

        Raises:
            RequestError: a PUT of it would be refused, for the same reason.
        """
        outline = await self.outline(application, proposal.declaration)
        return await self.of(outline, check_links=proposal.check_links)

    async def outline(self, application: str, declaration: Declaration) -> Outline:
        """What a declaration would make of an application as it is now.

        Raises:
            RequestError: a PUT of it would be refused, for the same reason.
        """
        before = self._directory.by_name(application)
        frozen = {} if before is None else await self._storage.frozen_specifications(before.application.key)
        outline = outlines.draw(
            declaration,
            application,
            before,
            frozen=frozen,
            registration=self._registration,
            now=self._clock.now(),
        )
        await self._check_app_versions(outline)
        return outline

    async def _check_app_versions(self, outline: Outline) -> None:
        given, before = outline.application, outline.before
        present = None if before is None else before.application
        if given is None or given is present:
            return
        for name in given.app_versions:
            owner = self._directory.by_app_version(name)
            if owner is not None and owner is not before:
                raise outlines.refused_app_versions(AppVersionTakenError(name))
        for name in () if present is None else present.app_versions:
            if name not in given.app_versions and await self._storage.app_version_used(given.key, name):
                raise outlines.refused_app_versions(AppVersionInUseError(name))

    async def of(self, outline: Outline, *, check_links: bool = False) -> Document:
        """The plan of an outline; with `check_links` what specifications link to is looked at."""
        now = self._clock.now()
        about, catalogue = _about(outline), outline.catalogue
        planner = Planner(catalogue, _target(outline, catalogue), now, about=about)
        if outline.before is not None:
            asked = [outline.all_filters[name].filter for name in sorted(catalogue.filters_in_use)]
            await surveys.survey(planner, self._storage, outline.before.application.key, asked, now)
        warnings = [*_set_aside(outline, catalogue), *cautions.of(planner, about, now)]
        warnings += self._large(outline, about, await self._longest_topic(outline))
        if check_links:
            linked = [(version, outline.software[version].specification) for version in about]
            warnings += await downloads.check(self._downloads, linked)
        first = await self._first(outline, planner, now)
        return documents.build(planner, _durations(planner, about, now), first, warnings)

    async def _first(self, outline: Outline, planner: Planner, now: datetime) -> Counter[Version]:
        """For how many offers of each software there is room at once, the highest first."""
        before, wanted = outline.before, planner.forecast.first
        found: Counter[Version] = Counter()
        if before is None or not planner.catalogue.paced:
            for edge, endpoints in wanted.items():
                found[edge.target] += endpoints
            return found
        numbers = await self._storage.counters(before.application.key)
        entry = replace(before, application=outline.application or before.application, catalogue=planner.catalogue)
        ledger = Ledger({}, numbers, now, seconds=1.0)
        for edge in sorted(wanted, key=lambda edge: edge.target, reverse=True):
            found[edge.target] += ledger.take(entry, edge.source, edge.target, wanted[edge])
        return +found

    async def _longest_topic(self, outline: Outline) -> str:
        """The longest topic on which an endpoint of the application is made an offer, or would be."""
        names = () if outline.application is None else outline.application.app_versions
        app_version = max(names, key=lambda name: len(name.encode()), default="x" * NAME_CHARACTERS)
        before = outline.before
        known = 0 if before is None else await self._storage.longest_token(before.application.key)
        return topics.longest_offer(self._instances, app_version, "x" * (known or NAME_CHARACTERS))

    def _large(self, outline: Outline, about: list[Version], topic: str) -> Iterator[str]:
        profile = Profile.KAA if outline.application is None else outline.application.profile
        for version in about:
            specification = outline.software[version].specification
            if specification is None:
                continue
            payload = configurations.offer(version.text, specification, profile)
            size = packets.publish_bytes(topic, len(payload))
            if size > self._offer_bytes:
                yield (
                    f"an offer of {version} takes up to {size} bytes in a packet, topic included; "
                    f"some devices take no more than {self._offer_bytes}"
                )


def _durations(planner: Planner, about: list[Version], now: datetime) -> dict[Version | None, timedelta | None]:
    """How long each rollout takes at least, and with None all moves together."""
    catalogue, forecast = planner.catalogue, planner.forecast
    found: dict[Version | None, timedelta | None] = {}
    for item in (item for item in catalogue.software if item.version in set(about)):
        moved = sum(amount for edge, amount in forecast.moves.items() if edge.target == item.version)
        sizes = forecast.stages[item.version][:-1] if item.version in forecast.stages else [moved]
        found[item.version] = estimates.shortest(
            item.policy,
            catalogue.limits,
            sizes,
            present=item.rollout.stage,
            done=forecast.running[item.version],
            start=max(now, item.rollout_date or now),
        )
    together = [*found.values(), estimates.moving(catalogue.limits, forecast.moves.total())]
    found[None] = max((span for span in together if span is not None), default=None)
    return found


def _set_aside(outline: Outline, catalogue: Catalogue) -> Iterator[str]:
    """What holds everybody, and is left out of the moves."""
    if catalogue.consent:
        yield "the application requires consent: each move waits for it, and those who refused stay where they are"
    for name in sorted(catalogue.filters_in_use):
        if Name.RUNNING_VERSION in outline.all_filters[name].filter.reads:
            yield f"the filter {name} looks at runningVersion: whom it matches after a hop is not foreseen"
    freeze = catalogue.freeze
    if freeze is not None:
        scope = "all applications are" if freeze.everywhere else "the application is"
        yield f"{scope} frozen by {freeze.by}: nobody is offered anything until the freeze is lifted"


def _about(outline: Outline) -> list[Version]:
    """The software to warn of: what changes, or all that is declared when nothing does."""
    changed = [record.software.version for record in outline.changed_software]
    return sorted(changed or outline.software)


def _target(outline: Outline, catalogue: Catalogue) -> Version | None:
    """What endpoints should come to: the highest that is declared and can be served, else the highest there is."""
    declared = [record.software for record in outline.software.values()]
    everything = list(catalogue.software)
    servable = [[item for item in items if item.servable] for items in (declared, everything)]
    chosen = next((items for items in (servable[0], declared, servable[1], everything) if items), [])
    return max((item.version for item in chosen), default=None)
