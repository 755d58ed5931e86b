"""Applications, software and filters as rows, and back.

Layer: persistence; no I/O beyond the connection that is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, select

from orchestrator.application.directory import Entry
from orchestrator.application.records import (
    REQUIRED,
    Application,
    FilterRecord,
    PushMode,
    Registration,
    SoftwareRecord,
)
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.filters import Filter
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint
from orchestrator.persistence import audits, policies, rollouts, schema
from orchestrator.persistence.elements import Octets
from orchestrator.persistence.instants import from_ms, from_ms_or_none, to_ms, to_ms_or_none
from orchestrator.persistence.schema import KEY_SPAN
from protocol.configurations import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Dictionary


def application_row(application: Application) -> dict[str, Any]:
    """The columns of an application, its key aside."""
    return {
        "name": application.name,
        "profile": application.profile.value,
        "push": application.push.value,
        "registration": application.registration.value,
        "consent": application.consent,
        "operator_keys": orjson.dumps(list(application.operator_keys)).decode(),
        "description": application.description,
        "revision": application.revision,
        "created_ms": to_ms(application.created_at),
        "limits": policies.build_limits(application.limits),
    }


def with_key(application: Application, key: int) -> Application:
    """The application under the key that it got."""
    return replace(application, key=key)


def application_of(row: Row[Any], app_versions: tuple[str, ...], everywhere: Freeze | None) -> Application:
    """The inverse; `everywhere` is the freeze of all applications."""
    return Application(
        key=row.id,
        name=row.name,
        app_versions=app_versions,
        profile=Profile(row.profile),
        push=PushMode(row.push),
        registration=Registration(row.registration),
        consent=row.consent,
        operator_keys=tuple(orjson.loads(row.operator_keys)),
        description=row.description,
        revision=row.revision,
        created_at=from_ms(row.created_ms),
        frozen=everywhere or audits.freeze_of(row.freeze, everywhere=False),
        limits=policies.parse_limits(row.limits),
    )


def software_row(record: SoftwareRecord) -> dict[str, Any]:
    """The columns of a software, its keys aside."""
    software = record.software
    uses = [{"filterId": use.filter_id, "ms": to_ms_or_none(use.rollout_date)} for use in software.filters]
    return {
        "upgradable_from": orjson.dumps(list(record.upgradable_from)).decode(),
        "strategy": software.strategy.value,
        "filters": orjson.dumps(uses).decode(),
        "rollout": record.rollout,
        "policy": policies.build(software.policy, software.rollout_date),
        "specification": record.specification,
        "metadata": record.metadata,
        "offered_ms": to_ms_or_none(record.offered_at),
        "recalled_ms": to_ms_or_none(software.recalled_at),
        "revision": record.revision,
        "created_ms": to_ms(record.created_at),
        "updated_ms": to_ms(record.updated_at),
        "state": rollouts.build(software.rollout, record.status),
    }


def software_of(row: Row[Any], version: Version) -> SoftwareRecord:
    """The inverse."""
    upgradable_from = tuple(orjson.loads(row.upgradable_from))
    policy, start = policies.parse(row.policy)
    rollout, status = rollouts.parse(row.state)
    software = Software(
        version=version,
        upgradable_from=tuple(Constraint.parse(item) for item in upgradable_from),
        strategy=Strategy(row.strategy),
        filters=tuple(
            FilterUse(filter_id=use["filterId"], rollout_date=from_ms_or_none(use["ms"]))
            for use in orjson.loads(row.filters)
        ),
        has_specification=row.specification not in {None, "null"},
        policy=policy,
        recalled_at=from_ms_or_none(row.recalled_ms),
        rollout_date=start,
        rollout=rollout,
    )
    return SoftwareRecord(
        software=software,
        specification=row.specification,
        metadata=row.metadata,
        rollout=row.rollout,
        upgradable_from=upgradable_from,
        offered_at=from_ms_or_none(row.offered_ms),
        revision=row.revision,
        created_at=from_ms(row.created_ms),
        updated_at=from_ms(row.updated_ms),
        status=status,
    )


async def load_entry(connection: AsyncConnection, application: int, dictionary: Dictionary) -> Entry:
    """One application with its software and filters, as the connection sees them."""
    row = (await connection.execute(select(schema.application).where(schema.application.c.id == application))).one()
    names = sorted(name for key, name in dictionary.app_versions.values() if key == application)
    software = await _software(connection, application, dictionary)
    table = schema.endpoint_filter
    filters = {
        item.filter_id: FilterRecord(
            filter=Filter(filter_id=item.filter_id, expression=item.expression),
            description=item.description,
            revision=item.revision,
        )
        for item in await connection.execute(select(table).where(table.c.application_id == application))
    }
    application_record = application_of(row, tuple(names), await audits.load_freeze(connection, None))
    return Entry(
        application=application_record,
        software=dict(software),
        filters=filters,
        catalogue=Catalogue.of(
            (record.software for record in software.values()),
            freeze=application_record.frozen,
            consent=application_record.consent == REQUIRED,
            application=application_record.name,
            limits=application_record.limits,
        ),
    )


async def app_version_used(connection: AsyncConnection, application: int, name: str, dictionary: Dictionary) -> bool:
    """Whether an endpoint of the application has this application version."""
    state, number = schema.endpoint_state.c, dictionary.app_version_ids.get(name, 0)
    inside = (state.id > application * KEY_SPAN) & (state.id < (application + 1) * KEY_SPAN)
    found = await connection.execute(select(state.id).where(inside, state.app_version_id == number).limit(1))
    return found.scalar() is not None


async def longest_token(connection: AsyncConnection, application: int) -> int:
    """The bytes of the longest token of an application's endpoints; 0 without endpoints."""
    table = schema.endpoint.c
    chosen = select(func.max(Octets(table.token))).where(table.application_id == application)
    return (await connection.execute(chosen)).scalar() or 0


async def frozen_specifications(connection: AsyncConnection, application: int) -> Mapping[str, str]:
    """The specifications under which software was offered that has been deleted, by version."""
    table = schema.version
    chosen = select(table.c.text, table.c.frozen_specification).where(
        table.c.application_id == application, table.c.frozen_specification.is_not(None)
    )
    return {row.text: row.frozen_specification for row in await connection.execute(chosen)}


async def _software(
    connection: AsyncConnection, application: int, dictionary: Dictionary
) -> Mapping[Version, SoftwareRecord]:
    table = schema.software
    rows = await connection.execute(select(table).where(table.c.application_id == application))
    records = [software_of(row, dictionary.versions[row.version_id]) for row in rows]
    return {record.software.version: record for record in records}
