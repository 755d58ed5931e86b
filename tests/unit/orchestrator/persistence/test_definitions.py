from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.application.records import FilterRecord, PushMode, Registration, RolloutStatus, StageMark
from orchestrator.domain.filters import Filter
from orchestrator.domain.policies import Attempts, Limits, RolloutPolicy
from orchestrator.domain.rollouts import Phase, Rollout
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint
from protocol.configurations import Profile
from tests.contract.storages import APP, MINUTE, NOW, software_record
from tests.unit.orchestrator.domain.builders import general, v

if TYPE_CHECKING:
    from orchestrator.application.records import Application, SoftwareRecord
    from tests.contract.storages import SqlShelf

RICH = replace(
    software_record(
        Software(
            version=v("2.0.0-rc.1+built"),
            upgradable_from=tuple(map(Constraint.parse, ("1.0.0", ">=1.1.0 <2.0.0", "*"))),
            strategy=Strategy.TARGETED,
            filters=(FilterUse(filter_id="lab", rollout_date=NOW), FilterUse(filter_id="field")),
            policy=RolloutPolicy(
                attempts=Attempts(max=5, backoff=timedelta(seconds=90), returns=7), installing=timedelta(hours=2)
            ),
            recalled_at=NOW + MINUTE,
            rollout_date=NOW - MINUTE,
            rollout=Rollout(phase=Phase.PAUSED, stage=1, members=(frozenset({10, 20}),)),
        )
    ),
    status=RolloutStatus(since=NOW, by="anna", reason="too many failures", marks=(StageMark(acknowledged=2),)),
    specification='{"b":1.10,"a":[1E400,"\\u00e4ä"]}',
    metadata='{"description":"x"}',
    rollout='{"attempts":{"max":5}}',
    offered_at=NOW,
    revision=4,
    updated_at=NOW + MINUTE,
)
FULL = replace(
    APP,
    profile=Profile.RFC7,
    push=PushMode.LIVE,
    registration=Registration.CLOSED,
    operator_keys=("ring", "site"),
    description="Kettles, ä",
    revision=9,
    consent="required",
    limits=Limits(per_minute=60, in_progress=500),
)


async def stored(shelf: SqlShelf, application: Application, *records: SoftwareRecord) -> int:
    async with shelf.storage.edit() as edit:
        key = (await edit.put_application(application)).key
        for record in records:
            await edit.put_software(key, record)
    return key


async def test_a_software_comes_back_as_it_was_put(shelf: SqlShelf) -> None:
    bare = replace(software_record(general("1.0.0", given=False)), specification=None)
    key = await stored(shelf, APP, RICH, bare)
    async with shelf.storage.edit() as edit:
        entry = await edit.entry(key)
    assert entry.software == {RICH.software.version: RICH, bare.software.version: bare}
    assert entry.software[v("2.0.0-rc.1")].software.version.text == "2.0.0-rc.1+built"
    assert [item.version for item in entry.catalogue.software] == [v("1.0.0"), v("2.0.0-rc.1")]


async def test_a_specification_of_null_is_none_to_offer(shelf: SqlShelf) -> None:
    null = replace(software_record(general("1.0.0")), specification="null")
    key = await stored(shelf, APP, null)
    async with shelf.storage.edit() as edit:
        found = (await edit.entry(key)).software[v("1.0.0")]
    assert (found.specification, found.software.has_specification) == ("null", False)


async def test_an_application_comes_back_as_it_was_put(shelf: SqlShelf) -> None:
    key = await stored(shelf, FULL)
    (entry,) = await shelf.storage.entries()
    assert entry.application == replace(FULL, key=key)
    bare = replace(APP, key=key, description=None, app_versions=("kettle-v2",))
    await stored(shelf, bare)
    (entry,) = await shelf.storage.entries()
    assert entry.application == bare


async def test_filters_come_back_as_they_were_put(shelf: SqlShelf) -> None:
    key = await stored(shelf, APP)
    first = FilterRecord(
        filter=Filter(filter_id="lab", expression="attributes.a == 1"), description="Laboratory", revision=1
    )
    second = FilterRecord(
        filter=Filter(filter_id="field", expression="attributes.a == 2"), description=None, revision=3
    )
    async with shelf.storage.edit() as edit:
        await edit.put_filter(key, replace(first, revision=7, description=None))
        await edit.put_filter(key, first)
        await edit.put_filter(key, second)
        assert (await edit.entry(key)).filters == {"lab": first, "field": second}
        await edit.delete_filter(key, "lab")
        assert (await edit.entry(key)).filters == {"field": second}


async def test_applications_do_not_mix(shelf: SqlShelf) -> None:
    first = await stored(shelf, APP, software_record(general("1.0.0")))
    second = await stored(
        shelf, replace(APP, name="toaster", app_versions=("toaster-v1",)), software_record(general("1.0.0", "0.9.0"))
    )
    entries = {entry.application.key: entry for entry in await shelf.storage.entries()}
    assert entries[first].software[v("1.0.0")].upgradable_from == ()
    assert entries[second].software[v("1.0.0")].upgradable_from == ("0.9.0",)
    assert entries[second].application.app_versions == ("toaster-v1",)
