from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import orjson
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.application import batches
from orchestrator.application.batches import FLOOD, Batch, Settings
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.records import Registration
from orchestrator.application.rooms import Rooms
from orchestrator.application.tallies import Tallies
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.filters import Filter
from protocol import health
from protocol.links import Inbound, Outbound
from protocol.payloads import Limits
from protocol.topics import Instances
from tests.contract.storages import APP, NOW, MemoryShelf, Shelf, found, newcomer, one, open_sqlite, store
from tests.unit.orchestrator.domain.builders import endpoint, general, offer, targeted, use, v

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import EndpointRecord

SETTINGS = Settings(instances=Instances(), limits=Limits(payload_bytes=4096))
ACKNOWLEDGED = 2**40
OFFERED = endpoint("1.0.0", offer("1.1.0"))
SOFTWARE = [
    general("1.0.0"),
    general("1.1.0", "1.0.0"),
    general("2.0.0", "1.1.0"),
    targeted("3.0.0", "2.0.0", filters=[use("lab")]),
]
LAB = Filter(filter_id="lab", expression="attributes.site == 'lab'")
OPEN = replace(APP, operator_keys=("ring",))
CLOSED = replace(OPEN, name="toaster", app_versions=("toaster-v1",), registration=Registration.CLOSED)


@dataclass(kw_only=True)
class Desk:
    """An open and a closed application on one storage, and the batches that come in."""

    shelf: Shelf
    open: Entry
    closed: Entry
    delivered: dict[int, int] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    settings: Settings = SETTINGS
    floods: Floods = field(default_factory=Floods)

    async def take(self, *messages: Inbound) -> Batch:
        """Process messages as one batch."""
        batch, directory = Batch(), Directory([self.open, self.closed])
        parsed = batches.parse(messages, directory, self.settings, self.delivered, batch, floods=self.floods, at=NOW)
        if parsed:
            async with self.shelf.storage.transaction() as transaction:
                application = batches.Application(
                    transaction, directory, self.settings, batch, rooms=Rooms(), watermark=ACKNOWLEDGED
                )
                await application.run(parsed, NOW, self.steps.append)
        self.delivered |= dict(batch.deliveries)
        return batch

    async def one(self, token: str) -> EndpointRecord:
        return await one(self.shelf, self.open, token)

    async def tokens(self, *tokens: str) -> list[str]:
        """Those of the tokens that the open application has endpoints of."""
        return [record.token for record in await found(self.shelf, self.open, tokens)]


async def desk_on(shelf: Shelf) -> Desk:
    open_entry = await shelf.define(OPEN, SOFTWARE, [LAB])
    desk = Desk(shelf=shelf, open=open_entry, closed=await shelf.define(CLOSED, SOFTWARE, [LAB]))
    for entry in (desk.open, desk.closed):
        suspended = replace(OFFERED, token_state=TokenState.SUSPENDED)
        revoked = replace(OFFERED, token_state=TokenState.REVOKED)
        retired = replace(endpoint("1.0.0"), token_state=TokenState.RETIRED)
        states = {"tok": OFFERED, "suspended": suspended, "revoked": revoked, "retired": retired}
        drafts = [newcomer(entry, token, state) for token, state in states.items()]
        await store(shelf, entry, *drafts)
    return desk


@pytest_asyncio.fixture
async def desk() -> Desk:
    return await desk_on(MemoryShelf())


@pytest_asyncio.fixture
async def sql_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_sqlite(tmp_path) as shelf:
        yield await desk_on(shelf)


class Members(TypedDict, total=False):
    """What of a message is not as usual."""

    qos: int
    packet_id: int
    duplicate: bool
    retain: bool
    response_topic: str


def message(
    resource: str,
    payload: str | bytes = b"{}",
    who: str = "tok",
    app_version: str = "kettle-v1",
    **members: Unpack[Members],
) -> Inbound:
    """A message of an endpoint, of the open application if `app_version` does not say otherwise."""
    instance = "cmx_ota" if resource.startswith(("config", "applied", "progress", "health", "consent")) else "epmx"
    return Inbound(
        topic=f"kp1/{app_version}/{instance}/{who}/{resource}",
        payload=payload.encode() if isinstance(payload, str) else payload,
        **members,
    )


def report(version: str, who: str = "tok", app_version: str = "kettle-v1", **members: Unpack[Members]) -> Inbound:
    """An endpoint's word on what it runs."""
    return message("applied/json/1", f'{{"configId":"{version}"}}', who, app_version, **members)


def payloads(batch: Batch) -> list[bytes]:
    return [answer.message.payload for answer in batch.answers]


# What a batch does


async def test_messages_of_one_endpoint_keep_their_order(desk: Desk) -> None:
    batch = await desk.take(message("config/json/1"), report("1.1.0"), message("config/json/2"))
    assert [b"1.1.0" in payload for payload in payloads(batch)] == [True, False, False]
    assert b'"2.0.0"' in payloads(batch)[2]
    record = await desk.one("tok")
    assert (record.endpoint.running, record.endpoint.sequence) == (v("1.1.0"), 2)
    assert batch.accepted == {"config/json": 2, "applied/json": 1}
    assert batch.pushes


async def test_endpoints_of_several_applications_share_a_batch(desk: Desk) -> None:
    await desk.take(report("1.1.0"), report("2.0.0", app_version="toaster-v1"))
    assert (await desk.one("tok")).endpoint.running == v("1.1.0")
    assert (await one(desk.shelf, desk.closed, "tok")).endpoint.running == v("2.0.0")


async def test_software_that_is_offered_for_the_first_time_is_frozen_with_the_offer(desk: Desk) -> None:
    batch = await desk.take(report("1.1.0"))
    assert batch.offered == {desk.open.application.key: {v("2.0.0")}}
    assert await desk.shelf.offered(desk.open) == {v("2.0.0"): NOW}
    desk.open.freeze([v("2.0.0")], NOW)
    await desk.take(report("1.1.0", who="new"))
    assert await desk.shelf.offered(desk.open) == {v("2.0.0"): NOW}


async def test_every_step_is_told_in_order(desk: Desk) -> None:
    await desk.take(message("config/json/1"), message("get/keys/1", b""))
    assert desk.steps == [
        "batch-read",
        "message-applied",
        "message-applied",
        "batch-decided",
        "batch-stored",
    ]


async def test_what_a_batch_came_to_is_told_to_the_tallies(desk: Desk) -> None:
    first = await desk.take(report("1.1.0", qos=1, packet_id=1), message("config/json/1", b"no"))
    again = await desk.take(report("1.1.0", qos=1, packet_id=1, duplicate=True), message("config/json/status", b""))
    tallies = Tallies()
    first.tell(tallies)
    again.tell(tallies)
    assert tallies.accepted == {"applied/json": 1}
    assert tallies.refused == {"payload-not-json": 1}
    assert (tallies.repeats, tallies.foreign_pushes) == (1, 1)


async def test_answers_of_ours_that_come_back_are_ignored(desk: Desk) -> None:
    batch = await desk.take(message("config/json/1/status", b""), message("config/json/1/error", b"x"))
    assert (batch.answers, batch.refused, batch.accepted) == ([], {}, {})
    assert desk.steps == []


# Repeats (invariant 2)


async def test_invariant_2_a_repeat_is_answered_again_and_changes_nothing(desk: Desk) -> None:
    first = await desk.take(report("1.1.0", qos=1, packet_id=7))
    later = await desk.take(report("2.0.0", qos=1, packet_id=8))
    assert isinstance(desk.shelf, MemoryShelf)
    state = desk.shelf.storage.state
    again = await desk.take(report("1.1.0", qos=1, packet_id=7, duplicate=True))
    # An older report that took effect again would look like a revert.
    assert (await desk.one("tok")).endpoint.running == v("2.0.0")
    assert desk.shelf.storage.state == state
    assert (again.repeats, again.accepted, again.deliveries) == (1, {}, [])
    assert payloads(again) == payloads(first) == payloads(later) == [b""]


async def test_invariant_2_a_repeat_in_the_same_batch_changes_nothing_either(desk: Desk) -> None:
    # On one connection: some brokers deliver again what we have not acknowledged for long.
    older, newer = report("1.1.0", qos=1, packet_id=7), report("2.0.0", qos=1, packet_id=8)
    batch = await desk.take(older, newer, replace(older, duplicate=True), replace(newer, duplicate=True))
    assert (batch.repeats, batch.accepted.total(), [number for number, _ in batch.deliveries]) == (2, 2, [7, 8])
    assert (await desk.one("tok")).endpoint.running == v("2.0.0")
    assert payloads(batch) == [b""] * 4


async def test_a_message_that_was_not_stored_takes_effect_though_it_says_that_it_is_a_repeat(desk: Desk) -> None:
    batch = await desk.take(report("1.1.0", qos=1, packet_id=7, duplicate=True))
    assert (batch.repeats, batch.accepted.total()) == (0, 1)
    assert (await desk.one("tok")).endpoint.running == v("1.1.0")


async def test_a_packet_identifier_that_is_used_again_is_no_repeat(desk: Desk) -> None:
    await desk.take(report("1.1.0", qos=1, packet_id=7))
    await desk.take(report("2.0.0", qos=1, packet_id=7))
    assert (await desk.one("tok")).endpoint.running == v("2.0.0")
    await desk.take(report("1.1.0", qos=1, packet_id=7, duplicate=True))
    assert (await desk.one("tok")).endpoint.running == v("1.1.0")


async def test_deliveries_are_remembered_with_qos_1_only_refused_ones_too(desk: Desk) -> None:
    nobody = message("config/json/1", who="böse", qos=1, packet_id=2)
    await desk.take(report("1.1.0", qos=1, packet_id=1), nobody, message("config/json/1"))
    assert (await desk.shelf.storage.deliveries()).keys() == {1, 2}


async def test_a_repeat_of_an_endpoint_that_is_gone_does_not_bring_it_back(desk: Desk) -> None:
    repeat = report("1.1.0", who="gone", qos=1, packet_id=9)
    desk.delivered = {9: batches.digest_of(repeat)}
    await desk.take(replace(repeat, duplicate=True))
    assert await desk.tokens("gone") == []


def test_digests_tell_messages_apart() -> None:
    messages = [
        Inbound(topic=topic, payload=payload) for topic, payload in (("a", b"bc"), ("ab", b"c"), ("a", b""), ("b", b""))
    ]
    long = [Inbound(topic="t" * 200 + end, payload=b"") for end in "ab"]
    digests = {batches.digest_of(item) for item in (*messages, *long)}
    assert len(digests) == 6
    assert all(0 <= digest < 2**63 for digest in digests)


# Registration


async def test_an_unknown_token_creates_its_endpoint_where_registration_is_open(desk: Desk) -> None:
    batch = await desk.take(
        message("update/keys/1", '{"site":"lab"}', who="new"),
        report("2.0.0", who="new"),
        message("get/1", b"", "new"),
    )
    record = await desk.one("new")
    assert record.endpoint.running == v("2.0.0")
    assert record.endpoint.filters == {"lab"}
    assert record.endpoint.offer is not None
    assert record.endpoint.offer.version == v("3.0.0")
    assert payloads(batch)[-1] == b'{"site":"lab"}'
    key = desk.open.application.key
    async with desk.shelf.storage.transaction() as transaction:
        assert await transaction.taken([(key, "new")]) == {(key, "new")}


async def test_a_refused_message_creates_nothing_and_an_accepted_one_after_it_does(desk: Desk) -> None:
    forbidden = message("update/keys/1", '{"ring":0}', who="new")
    batch = await desk.take(forbidden)
    assert batch.refused == {"operator-key": 1}
    assert await desk.tokens("new") == []
    await desk.take(forbidden, message("config/json/1", who="new"))
    assert await desk.tokens("new") == ["new"]


async def test_a_token_that_is_anothers_endpoint_id_cannot_register(desk: Desk) -> None:
    record = await desk.one("tok")
    assert isinstance(desk.shelf, MemoryShelf)
    state = desk.shelf.storage.state
    # Its token was rotated: it is known by another name now.
    state.endpoints[record.key] = replace(state.endpoints[record.key], record=replace(record, token="rotated"))
    batch = await desk.take(message("config/json/1"))
    assert batch.refused == {"endpoint-id-illegal": 1}


# Attributes


async def test_attributes_are_stored_and_move_the_endpoint_into_its_filters(desk: Desk) -> None:
    await desk.take(report("2.0.0"))
    assert (await desk.one("tok")).endpoint.offer is None
    await desk.take(message("update/keys/1", '{"site":"lab"}'), message("update/keys/2", '{"n":1}'))
    record = await desk.one("tok")
    assert record.endpoint.offer is not None
    assert record.endpoint.offer.version == v("3.0.0")
    batch = await desk.take(message("get/1", b""), message("delete/keys/2", '["site"]'), message("get/keys/3", b""))
    assert payloads(batch) == [b'{"site":"lab","n":1}', b"", b'["n"]']
    assert (await desk.one("tok")).endpoint.offer is None


async def regrouped(desk: Desk, expression: str, *, source: str = "1.0.0") -> Desk:
    """The same desk, whose 3.0.0 is for those that an expression matches."""
    software = [general("1.0.0"), general("2.0.0"), targeted("3.0.0", source, "2.0.0", filters=[use("lab")])]
    application = desk.open.application
    return replace(
        desk, open=await desk.shelf.define(application, software, [Filter(filter_id="lab", expression=expression)])
    )


async def test_a_report_moves_the_endpoint_into_a_filter_that_looks_at_versions_and_out_of_it(desk: Desk) -> None:
    desk = await regrouped(desk, "semver(runningVersion) == semver('2.0.0')")
    await desk.take(report("1.0.0"))
    assert (await desk.one("tok")).endpoint.offer is None
    batch = await desk.take(report("2.0.0"), message("config/json/1", '{"configId":"2.0.0"}'))
    record = await desk.one("tok")
    assert record.endpoint.filters == {"lab"}
    assert record.endpoint.offer is not None
    # The answer in the same batch tells of it.
    assert any(b'"configId":"3.0.0"' in payload for payload in payloads(batch))
    await desk.take(report("1.0.0"))
    assert (await desk.one("tok")).endpoint.offer is None


async def test_being_heard_moves_the_endpoint_into_a_filter_that_looks_at_when_it_was(desk: Desk) -> None:
    desk = await regrouped(desk, f"lastSeenAt >= timestamp('{NOW.isoformat()}')")
    assert (await desk.one("tok")).endpoint.filters == frozenset()
    await desk.take(message("config/json/1"))
    record = await desk.one("tok")
    assert record.endpoint.filters == {"lab"}
    assert record.endpoint.offer is not None


async def test_another_application_version_moves_the_endpoint_into_a_filter_that_looks_at_it(desk: Desk) -> None:
    desk = await regrouped(desk, "appVersion == 'kettle-v2'")
    await desk.take(message("config/json/1", app_version="kettle-v2"))
    record = await desk.one("tok")
    assert record.endpoint.filters == {"lab"}
    assert record.endpoint.offer is not None


async def test_attributes_and_versions_are_looked_at_together(desk: Desk) -> None:
    desk = await regrouped(desk, "attributes.site == 'lab' && runningVersion == '2.0.0'")
    await desk.take(message("update/keys/1", '{"site":"lab"}'), report("2.0.0"))
    assert (await desk.one("tok")).endpoint.offer is not None
    await desk.take(message("update/keys/2", '{"site":"field"}'))
    record = await desk.one("tok")
    assert record.endpoint.offer is None
    await desk.take(report("2.0.0"), message("update/keys/3", '{"site":"lab"}'))
    assert (await desk.one("tok")).endpoint.offer is not None


async def test_a_newcomer_is_grouped_by_what_its_first_message_says(desk: Desk) -> None:
    desk = await regrouped(desk, "endpointId == 'new-1' && runningVersion == '2.0.0'")
    await desk.take(report("2.0.0", who="new-1"), report("2.0.0", who="new-2"))
    found = {token: (await desk.one(token)).endpoint.offer for token in ("new-1", "new-2")}
    assert [offered is not None for offered in found.values()] == [True, False]


# Pushes


async def test_a_message_on_a_push_topic_that_is_not_ours_is_overwritten(desk: Desk) -> None:
    batch = await desk.take(message("config/json/status", b"forged", retain=True))
    assert (batch.foreign, len(batch.pushes), batch.answers) == (1, 1, [])
    (push,) = await desk.shelf.storage.pushes(0, 10)
    assert push.key == (await desk.one("tok")).key
    await desk.take(message("config/json/status", b"forged", who="nobody"))
    assert await desk.tokens("nobody") == []


ASK = "consent/json/status"
ASK_TOPIC = f"kp1/kettle-v1/cmx_ota/tok/{ASK}"


async def test_a_forged_ask_is_cleared_and_one_on_a_topic_that_is_in_use_is_overwritten(desk: Desk) -> None:
    batch = await desk.take(message(ASK, b"forged", retain=True))
    assert (batch.foreign, len(batch.pushes)) == (1, 1)
    (left,) = await desk.shelf.storage.pushes(0, 10)
    assert left.topic == ASK_TOPIC
    consulted = replace(OFFERED, consulted=True)
    await store(desk.shelf, desk.open, newcomer(desk.open, "asked", consulted))
    await desk.take(message(ASK, b"forged", "asked"))
    assert [push.key for push in await desk.shelf.storage.pushes(left.revision, 10)] == [(await desk.one("asked")).key]
    batch = await desk.take(message(ASK, b"forged", "nobody", retain=True))
    assert [answer.message for answer in batch.answers] == [
        Outbound(topic=ASK_TOPIC.replace("tok", "nobody"), payload=b"", retain=True)
    ]


async def test_what_is_forged_under_another_application_version_is_cleared_there(desk: Desk) -> None:
    await desk.take(message("config/json/status", b"forged", app_version="kettle-v2", retain=True))
    (left,) = await desk.shelf.storage.pushes(0, 10)
    assert left.topic == "kp1/kettle-v2/cmx_ota/tok/config/json/status"
    assert (await desk.one("tok")).app_version == "kettle-v1"


async def test_an_answer_that_was_processed_before_changes_nothing(desk: Desk) -> None:
    granted = '{"configId":"1.1.0","granted":true}'
    await desk.take(message("consent/json/1", granted, packet_id=7, qos=1))
    assert (await desk.one("tok")).endpoint.consents[v("1.1.0")].granted
    batch = await desk.take(message("consent/json/1", granted, packet_id=7, qos=1, duplicate=True))
    assert (batch.repeats, batch.pushes, payloads(batch)) == (1, [], [b""])


async def test_another_application_version_in_the_topic_becomes_the_endpoints(desk: Desk) -> None:
    await desk.take(message("config/json/1", app_version="kettle-v2"))
    assert (await desk.one("tok")).app_version == "kettle-v2"
    left, moved = await desk.shelf.storage.pushes(0, 10)
    assert left.topic == "kp1/kettle-v1/cmx_ota/tok/config/json/status"
    assert (moved.topic, moved.app_version) == (None, "kettle-v2")


async def test_a_request_that_declares_nothing_new_is_stored_for_having_been_heard_alone(desk: Desk) -> None:
    batch = await desk.take(message("config/json/1"))
    assert not batch.pushes
    assert (await desk.one("tok")).endpoint.last_seen_at == NOW


# Floods


async def test_an_endpoint_that_floods_is_cut_down_to_its_newest_message_of_each_kind(desk: Desk) -> None:
    flood = [report(f"1.1.{number}") for number in range(FLOOD)]
    batch = await desk.take(*flood, message("config/json/1"), report("0.5.0", who="calm"), report("0.6.0", who="calm"))
    assert batch.refused == {"too-many-messages": FLOOD - 1}
    assert batch.accepted == {"applied/json": 3, "config/json": 1}
    assert (await desk.one("tok")).endpoint.running == v(f"1.1.{FLOOD - 1}")
    assert (await desk.one("calm")).endpoint.running == v("0.6.0")
    errors = [answer.message for answer in batch.answers if answer.refusal]
    assert len(errors) == FLOOD - 1
    assert errors[0].topic == "kp1/kettle-v1/cmx_ota/tok/applied/json/1/error"
    assert b"429" in errors[0].payload


async def test_an_endpoint_that_floods_for_long_is_cut_down_however_few_come_in_a_batch(desk: Desk) -> None:
    desk.floods = Floods(60)
    for _ in range(6):
        batch = await desk.take(*(report("1.1.0") for _ in range(10)))
        assert batch.refused == {}
    batch = await desk.take(*(report(f"1.1.{number}") for number in range(10)), report("0.5.0", who="calm"))
    assert batch.refused == {"too-many-messages": 9}
    assert batch.accepted == {"applied/json": 2}
    assert (await desk.one("tok")).endpoint.running == v("1.1.9")
    # Answers to all that it sends would keep those to others waiting.
    assert [answer.refusal for answer in batch.answers].count(True) == 1
    flood = desk.floods.of((desk.open.application.key, "tok"), NOW)
    assert flood is not None
    assert flood.refused == 9


async def test_what_a_flood_dropped_has_no_effect_when_it_comes_again(desk: Desk) -> None:
    """Killed before the PUBACKs: the older reports come again, alone, and would look like a revert."""
    flood = [report("1.0.0", qos=1, packet_id=number) for number in range(1, FLOOD + 2)]
    await desk.take(*flood, report("1.1.0", qos=1, packet_id=99))
    assert (await desk.one("tok")).endpoint.running == v("1.1.0")
    again = [report("1.0.0", qos=1, packet_id=number, duplicate=True) for number in (1, 2)]
    batch = await desk.take(*again)
    assert batch.repeats == 2
    assert (await desk.one("tok")).endpoint.running == v("1.1.0")


async def test_as_many_messages_as_may_come_are_all_taken(desk: Desk) -> None:
    batch = await desk.take(*(report(f"1.1.{number}") for number in range(FLOOD)), report("0.5.0", who="calm"))
    assert batch.refused == {}
    assert batch.accepted.total() == FLOOD + 1


# Bad input (invariant 10)

DEEP = "[" * 40 + "]" * 40
RUBBISH = [
    ("payload-not-json", message("applied/json/1", b"")),
    ("payload-not-json", message("config/json/1", b"{")),
    ("payload-not-json", message("config/json/1", b'{"observe":NaN}')),
    ("payload-not-utf8", message("config/json/1", b'{"configId":"\xff"}')),
    ("payload-too-large", message("applied/json/1", b" " * 5000)),
    ("payload-too-deep", message("update/1", f'{{"a":{DEEP}}}')),
    ("member-duplicate", message("config/json/1", '{"observe":true,"observe":true}')),
    ("member-unknown", message("config/json/1", '{"observed":true}')),
    ("member-missing", message("applied/json/1", "{}")),
    ("member-type", message("config/json/1", "[]")),
    ("member-type", message("config/json/1", '{"observe":1}')),
    ("member-type", message("applied/json/1", '{"configId":"1.1.0","statusCode":"200"}')),
    ("member-type", message("applied/json/1", '{"configId":null}')),
    ("member-out-of-range", message("applied/json/1", '{"configId":"1.1.0","statusCode":99}')),
    ("member-out-of-range", message("progress/json/1", '{"configId":"1.1.0","state":"installing","percent":101}')),
    ("config-id-not-semver", report("v1.1.0")),
    ("config-id-not-semver", report("1.1")),
    ("config-id-not-semver", report("b3f4-foreign")),
    ("attribute-key-invalid", message("update/1", '{"a-b":1}')),
    ("attribute-count", message("update/1", "{}")),
    ("metric-name-invalid", message("health/json/1", '{"healthy":true,"metrics":{"a b":1}}')),
    (
        "metric-count",
        message("health/json/1", health.encode(healthy=True, metrics={str(number): 1 for number in range(33)})),
    ),
    ("member-missing", message("consent/json/1", '{"configId":"1.1.0"}')),
    ("text-not-storable", message("update/1", '{"a":"\\u0000"}')),
    ("text-not-storable", message("update/1", '{"a":"\\ud800"}')),
    ("number-out-of-range", message("update/1", '{"a":1e999}')),
    ("retained", report("1.1.0", retain=True)),
    ("response-topic-refused", message("config/json/1", response_topic="kp1/kettle-v1/cmx_ota/other/x")),
    ("topic-malformed", Inbound(topic="kp1/kettle-v1/cmx_ota/tok", payload=b"{}")),
    ("topic-malformed", Inbound(topic="kp1/kettle-v1/cmx_ota//config/json/1", payload=b"{}")),
    ("topic-malformed", message("config/json/1/")),
    ("resource-unknown", message("config/json/x/1")),
    ("configuration-not-served", Inbound(topic="kp1/kettle-v1/cmx/tok/config/json/1", payload=b"{}")),
    ("app-version-unknown", message("config/json/1", app_version="lamp-v1")),
    ("token-unknown", report("1.1.0", who="nobody", app_version="toaster-v1")),
    ("token-unknown", message("update/1", '{"a":1}', who="nobody", app_version="toaster-v1")),
    ("endpoint-id-illegal", report("1.1.0", who="no endpoint id")),
    ("token-suspended", report("1.1.0", who="suspended")),
    ("token-revoked", message("config/json/1", who="revoked", app_version="kettle-v2")),
    ("operator-key", message("update/keys/1", '{"site":"lab","ring":0}')),
    ("operator-key", message("update/keys/1", '{"ring":0}', who="retired")),
    ("operator-key", message("delete/keys/1", '["ring"]', app_version="kettle-v2")),
]
UNANSWERED = {"topic-malformed", "configuration-not-served"}


async def test_a_retired_endpoint_is_heard_as_anybody_and_is_offered_what_it_should_run(desk: Desk) -> None:
    batch = await desk.take(message("config/json/1", "{}", who="retired"))
    woken = (await desk.one("retired")).endpoint
    assert woken.token_state is TokenState.ACTIVE
    assert woken.offer is not None
    assert not batch.refused


async def attributes_of(desk: Desk) -> dict[str, object]:
    batch = await desk.take(message("get/9", b""))
    (told,) = payloads(batch)
    found: dict[str, object] = orjson.loads(told)
    return found


async def test_an_endpoint_cannot_grow_its_attributes_message_by_message(desk: Desk) -> None:
    desk.settings = replace(SETTINGS, limits=Limits())
    large = "x" * 40_000

    def update(key: str, text: str) -> Inbound:
        return message("update/keys/1", orjson.dumps({key: text}))

    batch = await desk.take(update("a", large), update("b", large))
    assert batch.refused == {"attributes-too-large": 1}
    assert batch.accepted == {"update/keys": 1}
    assert b'"statusCode":413' in payloads(batch)[1]
    assert await attributes_of(desk) == {"a": large}
    assert not (await desk.take(update("a", "small"), update("b", large))).refused
    assert await attributes_of(desk) == {"a": "small", "b": large}


async def test_an_endpoint_has_no_more_than_1024_attributes(desk: Desk) -> None:
    texts = [orjson.dumps({f"k{first + number}": 1 for number in range(64)}) for first in range(0, 1024, 64)]
    assert not (await desk.take(*(message("update/keys/1", text) for text in texts))).refused
    assert (await desk.take(message("update/keys/1", '{"more":1}'))).refused == {"attributes-too-large": 1}
    assert len(await attributes_of(desk)) == 1024
    batch = await desk.take(message("delete/keys/1", '["k0"]'), message("update/keys/1", '{"more":1,"k1":2}'))
    assert not batch.refused
    assert len(await attributes_of(desk)) == 1024


def dump(folder: Path) -> list[str]:
    """Every row of a database."""
    with closing(sqlite3.connect(folder / "otao.db")) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize(("code", "rubbish"), RUBBISH, ids=[f"{n}-{code}" for n, (code, _) in enumerate(RUBBISH)])
async def test_bad_input_is_counted_and_answered_where_it_may_be(desk: Desk, code: str, rubbish: Inbound) -> None:
    assert isinstance(desk.shelf, MemoryShelf)
    before = desk.shelf.storage.state.copy()
    batch = await desk.take(rubbish)
    assert batch.refused == {code: 1}
    assert not batch.accepted
    assert desk.shelf.storage.state == before
    assert len(batch.answers) == (code not in UNANSWERED)
    for answer in batch.answers:
        assert answer.refusal
        assert answer.message.topic == f"{rubbish.topic}/error"
        assert not answer.message.retain


async def test_invariant_10_rubbish_changes_no_row_and_creates_none(sql_desk: Desk, tmp_path: Path) -> None:
    before = dump(tmp_path)
    batch = await sql_desk.take(*(rubbish for _, rubbish in RUBBISH))
    assert batch.refused == Counter(code for code, _ in RUBBISH)
    assert not batch.accepted
    assert dump(tmp_path) == before


async def test_invariant_10_a_good_message_among_rubbish_takes_effect(sql_desk: Desk) -> None:
    half = len(RUBBISH) // 2
    messages = [rubbish for _, rubbish in RUBBISH]
    batch = await sql_desk.take(*messages[:half], report("1.1.0"), *messages[half:])
    assert batch.accepted == {"applied/json": 1}
    assert batch.refused.total() == len(RUBBISH)
    assert (await sql_desk.one("tok")).endpoint.running == v("1.1.0")


levels = st.sampled_from(("kp1", "kettle-v1", "toaster-v1", "cmx_ota", "epmx", "cmx", "tok", "config", "json", "1", ""))
topics = st.lists(levels | st.text(max_size=3), min_size=1, max_size=9).map("/".join) | st.sampled_from(
    [rubbish.topic for _, rubbish in RUBBISH]
)
bodies = st.binary(max_size=40) | st.sampled_from([rubbish.payload for _, rubbish in RUBBISH])


@settings(max_examples=60, deadline=None)
@given(heap=st.lists(st.tuples(topics, bodies, st.booleans()), max_size=12))
def test_invariant_10_a_heap_of_anything_never_fails_a_batch(heap: list[tuple[str, bytes, bool]]) -> None:
    async def take() -> None:
        desk = await desk_on(MemoryShelf())
        batch = await desk.take(*(Inbound(topic=topic, payload=body, retain=flag) for topic, body, flag in heap))
        assert batch.refused.total() + batch.accepted.total() + batch.foreign <= len(heap)
        if not batch.accepted:
            assert [record.token for record in await found(desk.shelf, desk.open, ["tok"])] == ["tok"]

    asyncio.run(take())
