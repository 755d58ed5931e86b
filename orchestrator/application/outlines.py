"""What a change would make of stored definitions, drawn up before anything is written.

Rules:
- What does not change anything answers the present record itself: no new revision, no new tag.
- Real changes and plans are drawn up by the same functions.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.application import preconditions
from orchestrator.application.problems import ConflictError, FilterUnknownError, PlacedError, SpecificationFrozenError
from orchestrator.application.records import REQUIRED, Application, FilterRecord, RolloutStatus, SoftwareRecord
from orchestrator.domain.catalogues import Catalogue, VersionConflict
from orchestrator.domain.policies import UNLIMITED
from orchestrator.domain.rollouts import STARTED, Phase
from orchestrator.domain.software import Software, revised

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.documents.applications import ApplicationBody
    from orchestrator.application.documents.declarations import Declaration, DeclaredSoftware
    from orchestrator.application.documents.software import Definition
    from orchestrator.application.problems import AppVersionInUseError
    from orchestrator.application.records import AppVersionTakenError, Registration
    from orchestrator.domain.filters import Filter
    from orchestrator.domain.rollouts import Rollout
    from orchestrator.domain.versions import Version


def application(
    name: str, body: ApplicationBody, present: Application | None, *, registration: Registration, now: datetime
) -> Application:
    """An application as the body has it; `registration` is that of new ones that say nothing of it."""
    given = Application(
        key=0 if present is None else present.key,
        name=name,
        app_versions=tuple(sorted(body.app_versions)),
        profile=body.profile,
        push=body.push,
        registration=body.registration or (registration if present is None else present.registration),
        consent=body.consent,
        operator_keys=tuple(body.operator_keys),
        description=body.description,
        revision=1 if present is None else present.revision,
        created_at=now if present is None else present.created_at,
        limits=UNLIMITED if body.limits is None else body.limits.limits,
        frozen=None if present is None else present.frozen,
    )
    if present is None or given == present:
        return present or given
    return replace(given, revision=present.revision + 1)


def group(given: Filter, description: str | None, present: FilterRecord | None, *, now: datetime) -> FilterRecord:
    """A filter as it is given."""
    if present is None:
        return FilterRecord(filter=given, description=description, revision=preconditions.first_revision(now))
    if (present.filter, present.description) == (given, description):
        return present
    return FilterRecord(filter=given, description=description, revision=present.revision + 1)


def software(
    version: Version,
    definition: Definition,
    present: SoftwareRecord | None,
    *,
    frozen: str | None = None,
    now: datetime,
) -> SoftwareRecord:
    """A software as it is defined; `frozen` is the specification under which it was offered before it was deleted.

    Raises:
        SpecificationFrozenError: it was offered with another specification.
    """
    offered_at = present.offered_at if present is not None else None if frozen is None else now
    kept = present.specification if present is not None else frozen
    if offered_at is not None and kept != definition.specification:
        raise SpecificationFrozenError(version)
    item = Software(
        version=version,
        upgradable_from=definition.upgradable_from,
        strategy=definition.strategy,
        filters=definition.filters,
        has_specification=definition.specification is not None,
        policy=definition.policy,
        recalled_at=None if present is None else present.software.recalled_at,
        rollout_date=definition.rollout_date,
        rollout=STARTED if present is None else revised(present.software, definition.policy),
    )
    given = SoftwareRecord(
        software=item,
        specification=definition.specification,
        metadata=definition.metadata,
        rollout=definition.rollout,
        upgradable_from=tuple(item.text for item in definition.upgradable_from),
        offered_at=offered_at,
        revision=1 if present is None else present.revision,
        created_at=now if present is None else present.created_at,
        updated_at=now if present is None else present.updated_at,
        status=RolloutStatus() if present is None else _status(present, item.rollout),
    )
    if present is None or given == present:
        return present or given
    return replace(given, revision=given.revision + 1, updated_at=now)


def _status(present: SoftwareRecord, becomes: Rollout) -> RolloutStatus:
    """What is kept of a rollout: not that a stage has passed in which an edit lets it go on."""
    status, was = present.status, present.software.rollout
    mark = status.mark(becomes.stage)
    if (was.phase, was.stage) == (becomes.phase, becomes.stage) or becomes.phase is not Phase.RUNNING:
        return status
    return status if mark.passed_at is None else status.marked(becomes.stage, replace(mark, passed_at=None))


def check_filters(definition: Definition, known: Collection[str]) -> None:
    """Pass when every filter that a definition names, in its list or in a stage, is there.

    Raises:
        FilterUnknownError: one is not; the place that names it is said.
    """
    for place, filter_id in _named(definition):
        if filter_id not in known:
            raise FilterUnknownError(filter_id, place)


def _named(definition: Definition) -> Iterator[tuple[str, str]]:
    """The filters that a definition names, each after its place."""
    for place, use in enumerate(definition.filters):
        yield f"filters[{place}].filterId", use.filter_id
    for place, stage in enumerate(definition.policy.stages):
        if stage.filter_id is not None:
            yield f"rollout.stages[{place}].filter", stage.filter_id


class Change(Enum):
    """What becomes of a resource that is declared."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


def _change(before: object | None, after: object) -> Change:
    if before is None:
        return Change.CREATED
    return Change.UNCHANGED if after is before else Change.UPDATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a declaration makes of an application."""

    name: str
    """Of the application."""
    before: Entry | None
    application: Application | None
    """None: there is none, and nothing is said of it."""
    settled: bool
    """Whether anything is said of the application."""
    founded: bool = False
    """Whether the application was created just now, as it is declared."""
    filters: Mapping[str, FilterRecord]
    """Those that are declared."""
    software: Mapping[Version, SoftwareRecord]
    """Those that are declared."""

    @property
    def changes(self) -> list[tuple[str, Change]]:
        """Every resource that is declared, by its path, and what becomes of it."""
        found: list[tuple[str, Change]] = []
        if self.application is not None and self.settled:
            present = None if self.before is None or self.founded else self.before.application
            found.append((f"applications/{self.application.name}", _change(present, self.application)))
        for name, group in self.filters.items():
            found.append((f"filters/{name}", _change(self.known_filters.get(name), group)))
        for version, record in self.software.items():
            found.append((f"software/{version}", _change(self.known_software.get(version), record)))
        return found

    @property
    def changed_filters(self) -> list[FilterRecord]:
        """The filters that are new, or not what they were."""
        known = self.known_filters
        return [record for name, record in self.filters.items() if known.get(name) is not record]

    @property
    def changed_software(self) -> list[SoftwareRecord]:
        """The software that is new, or not what it was."""
        known = self.known_software
        return [record for version, record in self.software.items() if known.get(version) is not record]

    @property
    def known_filters(self) -> Mapping[str, FilterRecord]:
        """The filters before."""
        return {} if self.before is None else self.before.filters

    @property
    def known_software(self) -> Mapping[Version, SoftwareRecord]:
        """The software before."""
        return {} if self.before is None else self.before.software

    @property
    def all_filters(self) -> Mapping[str, FilterRecord]:
        """The filters after."""
        return {**self.known_filters, **self.filters}

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue after."""
        records: Iterable[SoftwareRecord] = {**self.known_software, **self.software}.values()
        return Catalogue.of(
            (record.software for record in records),
            freeze=None if self.before is None else self.before.application.frozen,
            consent=self.application is not None and self.application.consent == REQUIRED,
            application=self.name,
            limits=UNLIMITED if self.application is None else self.application.limits,
        )


def refused_app_versions(error: AppVersionTakenError | AppVersionInUseError) -> PlacedError:
    """The refusal of a declaration because of its application versions."""
    return PlacedError("appVersions", error.code, ConflictError.status_code, str(error))


def draw(
    declaration: Declaration,
    name: str,
    before: Entry | None,
    *,
    frozen: Mapping[str, str],
    registration: Registration,
    now: datetime,
    founded: bool = False,
) -> Outline:
    """Draw up a whole declaration; `frozen` has the specifications of deleted software that was offered, by version.

    `founded` says that `before` has been created just now, as it is declared.

    Raises:
        MemberError: the application is new, and its application versions are not said.
        PlacedError: a part cannot be; its path and the cause are named.
    """
    present = None if before is None else before.application
    settled = present
    if declaration.settings is not None:
        body = declaration.application(present)
        settled = application(name, body, present, registration=registration, now=now)
    known = {} if before is None else before.filters
    groups = {
        item.filter.filter_id: group(item.filter, item.description, known.get(item.filter.filter_id), now=now)
        for item in declaration.filters
    }
    names = known.keys() | groups.keys()
    records = [_software(item, before, names, frozen, now) for item in declaration.software]
    return Outline(
        name=name,
        before=before,
        application=settled,
        settled=declaration.settings is not None,
        founded=founded,
        filters=groups,
        software={record.software.version: record for record in records},
    )


def _software(
    item: DeclaredSoftware, before: Entry | None, names: Collection[str], frozen: Mapping[str, str], now: datetime
) -> SoftwareRecord:
    present = None if before is None else before.software.get(item.version)
    for place, filter_id in _named(item.definition):
        if filter_id not in names:
            error = FilterUnknownError(filter_id)
            raise PlacedError(f"{item.at}.{place}", error.code, error.status_code, str(error))
    try:
        if before is not None:
            before.catalogue.check_conflict(item.version)
        return software(item.version, item.definition, present, frozen=frozen.get(item.version.text), now=now)
    except VersionConflict as error:
        raise PlacedError(f"{item.at}.version", error.code, ConflictError.status_code, str(error)) from error
    except SpecificationFrozenError as error:
        raise PlacedError(f"{item.at}.specification", error.code, error.status_code, str(error)) from error
