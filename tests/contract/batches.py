"""Batches of messages for a storage under test, processed as the engine does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from orchestrator.application import batches
from orchestrator.application.batches import Batch, Settings
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.rooms import Rooms
from orchestrator.domain.endpoints import Endpoint
from protocol.links import Inbound
from protocol.payloads import Limits
from protocol.topics import Instances
from tests.contract.storages import NOW, newcomer
from tests.unit.orchestrator.domain.builders import offer, v

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft
    from tests.contract.storages import Shelf

Said: TypeAlias = tuple[str, str, str]
"""Instance and token, resource, payload."""
SETTINGS = Settings(instances=Instances(), limits=Limits())


def waiting(entry: Entry, number: int) -> Draft:
    """An endpoint on 1.0.0 that is offered 1.1.0."""
    state = Endpoint(running=v("1.0.0"), registered_at=NOW, attempt=offer("1.1.0"), sequence=1)
    draft = newcomer(entry, f"tok{number}", state)
    draft.push = True
    return draft


def of_every_kind(number: int) -> list[Said]:
    """Eight endpoints do something else each, new endpoints and versions never heard of included.

    Those from `tok<number>` on wait for 1.1.0; `set-back<number>` has failed before.
    """
    return [
        (f"cmx_ota/tok{number}", "applied/json/1", '{"configId":"1.1.0"}'),
        (f"cmx_ota/tok{number + 1}", "applied/json/1", '{"configId":"1.1.0","statusCode":500}'),
        (f"cmx_ota/tok{number + 2}", "applied/json/1", f'{{"configId":"7.{number}.0"}}'),
        (f"cmx_ota/tok{number + 3}", "config/json/1", '{"observe":false}'),
        (f"cmx_ota/tok{number + 4}", "progress/json/1", '{"configId":"1.1.0","state":"installing"}'),
        (f"epmx/tok{number + 5}", "update/keys/1", '{"site":"lab"}'),
        (f"cmx_ota/set-back{number}", "config/json/1", "{}"),
        (f"cmx_ota/new{number}", "config/json/1", '{"configId":"1.0.0"}'),
    ]


async def process(shelf: Shelf, entry: Entry, said: Sequence[Said]) -> None:
    """Process messages as one batch, in one transaction; each must be accepted."""
    app_version = entry.application.app_versions[0]
    messages = [
        Inbound(topic=f"kp1/{app_version}/{place}/{resource}", payload=payload.encode(), qos=1, packet_id=number)
        for number, (place, resource, payload) in enumerate(said, 1)
    ]
    directory, batch = Directory([entry]), Batch()
    parsed = batches.parse(messages, directory, SETTINGS, {}, batch, floods=Floods(), at=NOW)
    async with shelf.storage.transaction() as transaction:
        application = batches.Application(transaction, directory, SETTINGS, batch, rooms=Rooms(), watermark=2**40)
        await application.run(parsed, NOW, lambda _: None)
    assert batch.accepted.total() == len(said)
    entry.freeze(batch.offered.get(entry.application.key, set()), NOW)
