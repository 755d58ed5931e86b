"""Names that rows hold as small integers: versions and application versions, kept in memory beside the database.

Rules:
- A name gets its number in the transaction that first needs it; the number is known to others after that committed.
- 0 is "no version".
- What was made of an application's names, such as statements, holds as long as `names` gives the same object.

Layer: persistence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from orchestrator.domain.versions import Version
from orchestrator.persistence import dialects, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What an application's rows name by number."""

    versions: Mapping[int, Version] = field(default_factory=dict)
    app_versions: Mapping[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Dictionary:
    """Both directions of both tables; in the size of the catalogue, never of the fleet."""

    versions: dict[int, Version] = field(default_factory=dict)
    version_ids: dict[tuple[int, str], int] = field(default_factory=dict)
    app_versions: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Number → application and name."""
    applications: dict[int, str] = field(default_factory=dict)
    """Number → name."""
    app_version_ids: dict[str, int] = field(default_factory=dict)
    _names: dict[int, Names] = field(default_factory=dict, compare=False)
    """Of the applications that were asked for, until a name of theirs changes."""

    async def load(self, connection: AsyncConnection) -> None:
        """Read everything anew."""
        applications = (await connection.execute(select(schema.application.c.id, schema.application.c.name))).all()
        versions = (
            await connection.execute(
                select(schema.version.c.id, schema.version.c.application_id, schema.version.c.text)
            )
        ).all()
        app_versions = (await connection.execute(select(schema.app_version))).all()
        # From here on without a pause: readers must never meet a dictionary that is half read.
        for kept in (self.versions, self.version_ids, self.app_versions, self.app_version_ids, self.applications):
            kept.clear()
        self._names.clear()
        for number, name in applications:
            self.applications[number] = name
        for number, application, text in versions:
            self.add_version(number, application, Version.parse(text))
        for number, application, name in app_versions:
            self.add_app_version(number, application, name)

    def names(self, application: int) -> Names:
        """The names of one application: the same object until one of them changes."""
        found = self._names.get(application)
        if found is None:
            found = self._names[application] = Names(
                versions={
                    number: self.versions[number]
                    for (owner, _), number in self.version_ids.items()
                    if owner == application
                },
                app_versions={
                    number: name for number, (owner, name) in self.app_versions.items() if owner == application
                },
            )
        return found

    def forget_application(self, application: int) -> None:
        """Forget an application and every name that it had."""
        self.applications.pop(application, None)
        for owner, name in list(self.app_versions.values()):
            if owner == application:
                self.forget_app_version(name)
        for (owner, _), number in list(self.version_ids.items()):
            if owner == application:
                self.forget_version(application, self.versions[number])

    def add_version(self, number: int, application: int, version: Version) -> None:
        """Remember one version."""
        self.versions[number] = version
        self.version_ids[application, version.text] = number
        self._names.pop(application, None)

    def forget_version(self, application: int, version: Version) -> None:
        """Forget one version, if it is known."""
        number = self.version_ids.pop((application, version.text), None)
        if number is not None:
            del self.versions[number]
            self._names.pop(application, None)

    def add_app_version(self, number: int, application: int, name: str) -> None:
        """Remember one application version."""
        self.app_versions[number] = (application, name)
        self.app_version_ids[name] = number
        self._names.pop(application, None)

    def forget_app_version(self, name: str) -> None:
        """Forget one application version; it must be known."""
        application, _ = self.app_versions.pop(self.app_version_ids.pop(name))
        self._names.pop(application, None)

    def version(self, number: int) -> Version | None:
        """The version of a number; None for 0."""
        return self.versions[number] if number else None

    def number(self, application: int, version: Version | None) -> int:
        """The number of a version that has one; 0 for None."""
        return 0 if version is None else self.version_ids[application, version.text]

    def unknown(self, wanted: Iterable[tuple[int, Version]]) -> list[tuple[int, Version]]:
        """Those of the given versions that have no number yet, once each."""
        missing = {
            (app, version.text): version for app, version in wanted if (app, version.text) not in self.version_ids
        }
        return [(app, version) for (app, _), version in missing.items()]


async def add_versions(
    connection: AsyncConnection, wanted: Iterable[tuple[int, Version]]
) -> list[tuple[int, int, Version]]:
    """Give numbers to new versions, by two statements however many; return (number, application, version)."""
    fresh = list(wanted)
    if not fresh:
        return []
    last = (await connection.execute(select(func.max(schema.version.c.id)))).scalar() or 0
    added = [(number, application, version) for number, (application, version) in enumerate(fresh, last + 1)]
    rows = [(number, application, version.text) for number, application, version in added]
    await dialects.insert(connection, schema.version, ("id", "application_id", "text"), rows)
    return added
