"""The applications in memory: their catalogue, filters and specifications, as of the last commit.

Rules:
- Its size is that of the catalogue, never of the fleet.
- It is replaced, one application at a time, inside the writer's transaction that changes the application.

Layer: application; no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.application.memberships import Belonging, Memberships
from orchestrator.domain.decisions import Decider
from protocol import configurations, consents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from orchestrator.application.memberships import Subject
    from orchestrator.application.ports import Membership
    from orchestrator.application.records import Application, FilterRecord, SoftwareRecord
    from orchestrator.domain.catalogues import Catalogue
    from orchestrator.domain.decisions import Decision
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.policies import RolloutPolicy
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version


@dataclass(slots=True, kw_only=True)
class Entry:
    """One application with everything that its endpoints' messages need."""

    application: Application
    software: dict[Version, SoftwareRecord]
    filters: Mapping[str, FilterRecord]
    catalogue: Catalogue
    decider: Decider = field(init=False)
    memberships: Memberships = field(init=False)
    _offers: dict[Version, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with nothing remembered."""
        self.decider = Decider(self.catalogue)
        used = sorted(self.catalogue.filters_in_use & self.filters.keys())
        self.memberships = Memberships((self.filters[name].filter for name in used), zoned=self.catalogue.zoned)

    @property
    def looks_at_subjects(self) -> bool:
        """Whether the decision looks at endpoints' attributes, through filters or windows."""
        return bool(self.catalogue.filters_in_use) or self.catalogue.zoned

    def decide(self, endpoint: Endpoint, now: datetime) -> Decision:
        """The decision for one endpoint, remembered by class."""
        return self.decider.decide(endpoint, now)

    def software_of(self, version: Version) -> Software | None:
        """The definition of a version, if there is one."""
        record = self.software.get(version)
        return None if record is None else record.software

    def policy_of(self, version: Version) -> RolloutPolicy:
        """The rollout policy of a version; the defaults when it is defined no more."""
        return self.catalogue.policy_of(version)

    def offerable(self, version: Version, *, started: bool) -> bool:
        """Whether an open attempt of this version may be seen; a started install outlives a freeze, too."""
        software = self.software_of(version)
        if software is None or not software.visible(started=started):
            return False
        return started or self.application.frozen is None

    def offer(self, version: Version) -> bytes:
        """The payload that offers a version; the software must exist and have a specification."""
        payload = self._offers.get(version)
        if payload is None:
            record = self.software[version]
            payload = configurations.offer(
                record.software.version.text, record.specification or "", self.application.profile
            )
            self._offers[version] = payload
        return payload

    def ask(self, version: Version) -> bytes:
        """The payload that asks for consent to a version; the software must exist."""
        record = self.software[version]
        return consents.ask(record.software.version.text, record.metadata)

    def unfrozen(self, versions: Iterable[Version]) -> set[Version]:
        """Those of these versions that nobody was offered yet."""
        return {version for version in versions if self.software[version].offered_at is None}

    def freeze(self, versions: Iterable[Version], at: datetime) -> None:
        """These have been offered now."""
        for version in versions:
            record = self.software.get(version)
            if record is not None and record.offered_at is None:
                self.software[version] = replace(record, offered_at=at)


class Directory:
    """All applications, found by number, by name and by application version."""

    def __init__(self, entries: Iterable[Entry] = (), *, complete: bool = True) -> None:
        """Start with these; `complete` says whether there are no others in other partitions."""
        self.complete = complete
        self._by_key: dict[int, Entry] = {}
        self._by_name: dict[str, Entry] = {}
        self._by_app_version: dict[str, Entry] = {}
        for entry in entries:
            self.put(entry)

    def put(self, entry: Entry) -> None:
        """Add an application, or replace it."""
        self.remove(entry.application.key)
        self._by_key[entry.application.key] = entry
        self._by_name[entry.application.name] = entry
        for name in entry.application.app_versions:
            self._by_app_version[name] = entry

    def remove(self, key: int) -> None:
        """Forget an application."""
        entry = self._by_key.pop(key, None)
        if entry is not None:
            del self._by_name[entry.application.name]
            for name in entry.application.app_versions:
                del self._by_app_version[name]

    def by_key(self, key: int) -> Entry | None:
        """The application of this number."""
        return self._by_key.get(key)

    def by_name(self, name: str) -> Entry | None:
        """The application of this name."""
        return self._by_name.get(name)

    def by_app_version(self, name: str) -> Entry | None:
        """The application that this application version belongs to."""
        return self._by_app_version.get(name)

    def entries(self) -> list[Entry]:
        """All, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def membership(self, application: int, subject: Subject) -> Belonging:
        """What an endpoint of an application belongs to."""
        entry = self._by_key.get(application)
        return entry.memberships.belonging(subject) if entry is not None else Belonging(frozenset(), None)

    def membership_for(self, applications: Iterable[int]) -> Membership | None:
        """Whom to ask what endpoints of these applications belong to; None: it does not matter to any."""
        return self.membership if any(self._looks(application) for application in applications) else None

    def _looks(self, application: int) -> bool:
        entry = self._by_key.get(application)
        return entry is not None and entry.looks_at_subjects
