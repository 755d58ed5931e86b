from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import batches
from orchestrator.application import publisher as publishing
from orchestrator.application.answers import Answer
from orchestrator.application.floods import Floods
from orchestrator.application.parts import no_steps
from orchestrator.application.ports import StorageError
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.publisher import PARKED_FIRST, WAITING_REFUSALS, Publisher
from orchestrator.application.rooms import Rooms
from orchestrator.domain.facts import Consented
from orchestrator.domain.versions import Version
from protocol.links import Inbound, LinkLost, Outbound
from tests.parts import Retainer, with_link
from tests.unit.orchestrator.application.desks import APP, open_desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from orchestrator.application.parts import Parts
    from orchestrator.application.pushes import Push
    from tests.unit.orchestrator.application.desks import Desk


def topic(token: str) -> str:
    return f"kp1/kettle-v1/cmx_ota/{token}/config/json/status"


def publisher(desk: Desk, link: Retainer) -> tuple[Publisher, Parts]:
    parts = with_link(link, desk.storage, desk.directory, desk.clock)
    made = Publisher(parts, watermark=0, parked=set())
    made.resume(1, 0)
    return made, parts


async def publish_all(made: Publisher) -> None:
    while await made._slice():
        pass


async def fleet(desk: Desk, *tokens: str) -> None:
    await desk.define("1.1.0", "1.0.0")
    for token in tokens:
        await desk.enrol(token, "1.0.0")


async def test_invariant_1_the_broker_retains_what_the_database_says(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a", "b")
    await desk.report("b", "1.1.0")
    await publish_all(made)
    assert list(link.retained) == [topic("a")]
    assert made.watermark == made.cursor == await desk.storage.last_revision()


async def test_a_superseded_push_is_not_sent(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    await desk.report("a", "1.1.0")
    await publish_all(made)
    assert [message.payload for message in link.sent] == [b""]


async def test_invariant_7_what_was_read_ahead_is_forgotten_by_who_passes_the_gate(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SLICE", 1)
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a", "b")
    await made._slice()
    assert list(link.retained) == [topic("a")]
    await desk.report("b", "1.1.0")
    await made.settled()
    await publish_all(made)
    assert [message.payload for message in link.sent if message.topic == topic("b")] == [b""]
    assert made.watermark == made.cursor == await desk.storage.last_revision()


async def test_a_slice_that_could_not_be_read_ahead_is_read_when_it_is_needed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SLICE", 1)
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a", "b")
    read, failed = desk.storage.pushes, 0

    async def failing(after: int, limit: int) -> list[Push]:
        nonlocal failed
        if after and not failed:
            failed += 1
            raise StorageError("busy", transient=True)
        return await read(after, limit)

    monkeypatch.setattr(desk.storage, "pushes", failing)
    await publish_all(made)
    assert failed == 1
    assert set(link.retained) == {topic("a"), topic("b")}


async def test_pushes_are_read_only_where_there_may_be_some(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made, parts = publisher(desk, Retainer())
    await fleet(desk, "a")
    await publish_all(made)
    read, looks = desk.storage.pushes, 0

    async def counting(after: int, limit: int) -> list[Push]:
        nonlocal looks
        looks += 1
        return await read(after, limit)

    monkeypatch.setattr(desk.storage, "pushes", counting)
    made.answer([Answer(message=Outbound(topic="x/status", payload=b"", qos=0))])
    await publish_all(made)
    assert (parts.tallies.answers, looks) == (1, 0)
    await desk.report("a", "1.1.0")
    await publish_all(made)
    assert looks == 1
    # Revisions were given out, as by a page of a sweep, and no push has one.
    async with desk.storage.transaction():
        desk.storage._numbers.take("revision", 10)
    for answered in (2, 3):
        made.answer([Answer(message=Outbound(topic="x/status", payload=b"", qos=0))])
        await publish_all(made)
        assert (parts.tallies.answers, looks) == (answered, 2)
    # And once more from the beginning: there were fewer than were asked for.
    made.resume(1, 0)
    await publish_all(made)
    assert looks == 3


async def test_pushes_that_were_handed_over_are_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a", "b")
    await publish_all(made)
    read, handing = desk.storage.pushes, Handing(desk, made)

    async def unread(after: int, limit: int) -> list[Push]:
        raise AssertionError((after, limit))

    monkeypatch.setattr(desk.storage, "pushes", unread)
    await handing.report("a", "1.1.0", read)
    await publish_all(made)
    assert list(link.retained) == [topic("b")]
    assert made.watermark == made.cursor == desk.storage.revision
    # A transaction in between was not handed over: everything is read.
    monkeypatch.setattr(desk.storage, "pushes", read)
    await desk.enrol("c", "1.0.0")
    await handing.report("b", "1.1.0", read)
    await publish_all(made)
    assert list(link.retained) == [topic("c")]


class Handing:
    """Lets endpoints report, and hands over what that has stored, as the inbound pipeline does."""

    def __init__(self, desk: Desk, made: Publisher) -> None:
        self.desk, self.made = desk, made

    async def report(self, token: str, version: str, read: Callable[[int, int], Awaitable[list[Push]]]) -> None:
        since, commits = self.desk.storage.revision, self.desk.storage.commits
        key = (await self.desk.report(token, version)).record.key
        self.made.expect(await read(since, 10), [key], since=since, commits=commits)


async def test_invariant_1_what_was_handed_over_is_read_again_where_something_else_was_committed_since(
    desk: Desk,
) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a")
    await publish_all(made)
    await Handing(desk, made).report("a", "1.0.0", desk.storage.pushes)
    # Nobody hands this over.
    await desk.endpoints.change_token(APP, "a", None, "another")
    await publish_all(made)
    assert [(message.topic, message.payload) for message in link.sent if message.topic == topic("a")] == [
        (topic("a"), b"")
    ]
    assert list(link.retained) == [topic("another")]


async def test_a_live_offer_that_was_handed_over_is_not_sent_when_its_endpoint_has_reported_since(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path, push="live") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a")
        await desk.enrol("b")
        await publish_all(made)
        handing = Handing(desk, made)
        await handing.report("a", "1.0.0", desk.storage.pushes)
        await handing.report("b", "1.0.0", desk.storage.pushes)
        await handing.report("a", "1.1.0", desk.storage.pushes)
        await publish_all(made)
        assert [message.topic for message in link.sent if message.payload] == [topic("b")]


async def test_what_has_been_committed_and_is_not_known_yet_is_not_taken_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a", "b")
    known = next(push.revision for push in await desk.storage.pushes(0, 10))
    monkeypatch.setattr(type(desk.storage), "revision", property(lambda _: known))
    await publish_all(made)
    assert list(link.retained) == [topic("a")]
    monkeypatch.undo()
    await publish_all(made)
    assert [message.topic for message in link.sent] == [topic("a"), topic("b")]


async def test_no_push_leaves_before_an_answer_that_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SLICE", 1)
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    made.answer([Answer(message=Outbound(topic=f"{number}/status", payload=b"", qos=0)) for number in range(3)])
    await publish_all(made)
    assert [message.topic for message in link.sent] == ["0/status", "1/status", "2/status", topic("a")]


async def test_a_cursor_that_is_set_to_where_it_was_while_a_slice_is_out_stays_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SLICE", 1)
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")

    def wiped() -> None:
        link.before_publish = lambda: None
        link.sent.clear()
        made.resume(1, 0)

    link.before_publish = wiped
    await made._slice()
    link.retained.clear()
    await publish_all(made)
    assert list(link.retained) == [topic("a")]


async def test_what_was_handed_over_and_could_not_be_sent_is_read_again(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    made.expect(await desk.storage.pushes(0, 10), [], since=0, commits=desk.storage.commits)

    def lost() -> None:
        link.before_publish = lambda: None
        raise LinkLost("cut")

    link.before_publish = lost
    with pytest.raises(LinkLost):
        await publish_all(made)
    await publish_all(made)
    assert list(link.retained) == [topic("a")]


async def test_invariant_3_a_refused_push_is_parked_and_the_watermark_passes_it(desk: Desk) -> None:
    link = Retainer()
    made, parts = publisher(desk, link)
    await fleet(desk, "a", "b")
    link.refused.add(topic("a"))
    await publish_all(made)
    assert list(link.retained) == [topic("b")]
    assert made.watermark == await desk.storage.last_revision()
    assert await desk.storage.all_parked_topics() == {topic("a")}
    assert parts.tallies.parked == 1
    link.refused.clear()
    desk.clock.at += PARKED_FIRST
    await made.retry_parked()
    assert topic("a") in link.retained
    assert await desk.storage.all_parked_topics() == set()


def ask_topic(token: str) -> str:
    return topic(token).replace("config", "consent")


async def test_invariant_1_an_ask_is_retained_until_it_is_answered(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0", metadata={"minutes": 1.5})
        for token in ("a", "b"):
            await desk.enrol(token, "1.0.0")
        await publish_all(made)
        ask = b'{"configId":"1.1.0","metadata":{"minutes":1.5}}'
        assert link.retained == {ask_topic("a"): ask, ask_topic("b"): ask}
        yes = Consented(version=Version.parse("1.1.0"), at=desk.clock.now())
        await desk.hear("a", yes)
        await desk.hear("b", replace(yes, granted=False))
        await publish_all(made)
        assert list(link.retained) == [topic("a")]
        await desk.define("1.1.0", "1.0.0", metadata={"minutes": 2})
        await desk.endpoints.delete(APP, "a", UNCONDITIONAL)
        await publish_all(made)
        assert link.retained == {}


async def test_another_metadata_of_the_software_changes_the_ask(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required", push="live") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await publish_all(made)
        assert link.retained[ask_topic("a")] == b'{"configId":"1.1.0","metadata":{}}'
        await desk.define("1.1.0", "1.0.0", metadata={"minutes": 2})
        await desk.sweep()
        await publish_all(made)
        assert link.retained == {ask_topic("a"): b'{"configId":"1.1.0","metadata":{"minutes":2}}'}


async def test_invariant_7_an_ask_ends_with_a_stop_whoever_renders_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await publish_all(made)
        await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
        made.resume(1, 0)
        await publish_all(made)
        assert link.retained == {}
        await desk.sweep()
        await desk.define("1.1.0", "1.0.0")
        await desk.sweep()
        await publish_all(made)
        assert list(link.retained) == [ask_topic("a")]


async def test_a_live_offer_follows_every_word_and_no_empty_ask_with_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required", push="live") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await publish_all(made)
        await desk.hear("a", Consented(version=Version.parse("1.1.0"), at=desk.clock.now()))
        await publish_all(made)
        assert [message.topic for message in link.sent] == [ask_topic("a"), topic("a"), ask_topic("a")]
        link.sent.clear()
        for _ in range(2):
            await desk.report("a", "1.0.0")
            await publish_all(made)
        assert [message.topic for message in link.sent] == [topic("a")] * 2
        link.sent.clear()
        # What an endpoint says before anything is sent is followed by one offer.
        for _ in range(3):
            await desk.report("a", "1.0.0")
        await publish_all(made)
        assert [message.topic for message in link.sent] == [topic("a")]
        await desk.report("a", "1.1.0")
        made.resume(1, 0)
        await publish_all(made)
        assert link.retained == {}


async def test_a_refused_ask_is_parked_and_tried_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        link.refused.add(ask_topic("a"))
        await publish_all(made)
        assert await desk.storage.all_parked_topics() == {ask_topic("a")}
        link.refused.clear()
        desk.clock.at += PARKED_FIRST
        await made.retry_parked()
        assert list(link.retained) == [ask_topic("a")]


async def test_the_left_topic_of_consent_is_cleared_also_where_somebody_moves_in_who_is_asked_nothing(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await publish_all(made)
        await desk.endpoints.change_token(APP, "a", None, "b")
        await desk.enrol("c", token="a")
        await publish_all(made)
        assert list(link.retained) == [ask_topic("b")]


async def test_invariant_1_a_topic_that_was_left_holds_nothing_of_who_was_there_before(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    await publish_all(made)
    await desk.endpoints.change_token(APP, "a", None, "b")
    # Who moves in is offered nothing: no push of its own would ever clear the topic.
    await desk.enrol("c", token="a")
    await publish_all(made)
    assert list(link.retained) == [topic("b")]


async def test_invariant_1_what_was_left_is_cleared_once_where_another_partition_may_have_its_application_version(
    desk: Desk,
) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    await publish_all(made)
    await desk.endpoints.delete(APP, "a", UNCONDITIONAL)
    entry = desk.directory.by_name(APP)
    assert entry is not None
    desk.directory.remove(entry.application.key)
    link.sent.clear()
    await publish_all(made)
    assert [message.topic for message in link.sent] == [topic("a")]
    # Rendered anew, as after a broker that came back with another store.
    for complete, cleared in ((True, [topic("a")]), (False, [])):
        desk.directory.complete = complete
        link.sent.clear()
        made.resume(1, 0)
        await publish_all(made)
        assert [message.topic for message in link.sent] == cleared
    # It has come back to us.
    desk.directory.put(entry)
    made.resume(1, 0)
    await publish_all(made)
    assert topic("a") in [message.topic for message in link.sent]


async def test_invariant_1_a_parked_topic_that_was_left_holds_what_its_present_endpoint_is_told(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    link.refused.add(topic("a"))
    await publish_all(made)
    await desk.endpoints.change_token(APP, "a", None, "b")
    await publish_all(made)
    link.refused.clear()
    await desk.enrol("c", "1.0.0", token="a")
    # The push of the one who moved in is still on its way, or it has been taken while the retry waited its turn.
    desk.clock.at += 2 * PARKED_FIRST
    await made.retry_parked()
    assert sorted(link.retained) == [topic("a"), topic("b")]
    assert await desk.storage.all_parked_topics() == set()


async def test_what_was_taken_while_a_retry_waited_its_turn_is_not_retried(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    link.refused.add(topic("a"))
    await publish_all(made)
    link.refused.clear()
    desk.clock.at += PARKED_FIRST
    link.sent.clear()
    async with asyncio.TaskGroup() as group:
        async with made._gate:
            retrying = group.create_task(made.retry_parked())
            await desk.storage.parked(desk.clock.now(), 10)
            made.cursor = 0
            await made._send_pushes()
        await retrying
    assert [message.topic for message in link.sent] == [topic("a")]


async def test_a_cursor_that_is_set_back_while_a_slice_is_out_stays_set_back(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    await publish_all(made)
    await desk.enrol("b", "1.0.0")

    def set_back() -> None:
        link.before_publish = lambda: None
        link.retained.clear()
        made.resume(1, 0)

    link.before_publish = set_back
    await publish_all(made)
    assert sorted(link.retained) == [topic("a"), topic("b")]


async def test_a_broker_that_lost_everything_gets_no_live_offer_a_second_time(tmp_path: Path) -> None:
    async with open_desk(tmp_path, push="live") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await fleet(desk, "a")
        await publish_all(made)
        await desk.enrol("b", "1.0.0")
        made.resume(1, 0)
        await publish_all(made)
        assert [message.topic for message in link.sent] == [topic("a"), topic("b")]
        # Nor when the process is another one; what nobody has acknowledged yet is sent.
        after, _ = publisher(desk, link)
        after.watermark = made.watermark
        await desk.enrol("c", "1.0.0")
        await publish_all(after)
        assert [message.topic for message in link.sent] == [topic("a"), topic("b"), topic("c")]


async def test_a_slice_that_was_out_when_the_cursor_was_set_back_is_acknowledged_all_the_same(tmp_path: Path) -> None:
    async with open_desk(tmp_path, push="live") as desk:
        link = Retainer()
        made, _ = publisher(desk, link)
        await fleet(desk, "a")
        await publish_all(made)
        await desk.enrol("b", "1.0.0")

        def set_back() -> None:
            link.before_publish = lambda: None
            made.resume(1, 0)

        link.before_publish = set_back
        await publish_all(made)
        assert [message.topic for message in link.sent] == [topic("a"), topic("b")]


async def test_invariant_7_an_answer_that_waited_through_a_recall_offers_nothing(desk: Desk) -> None:
    link = Retainer()
    made, _ = publisher(desk, link)
    await fleet(desk, "a")
    entry = desk.revisions.entry(APP)
    version = Version.parse("1.1.0")
    offer = Outbound(topic="answer", payload=entry.offer(version), qos=1)
    made.answer([Answer(message=offer, application=entry.application.key, version=version)])
    await desk.definitions.recall(APP, version)
    await publish_all(made)
    assert (
        next(message.payload for message in link.sent if message.topic == "answer") == b'{"configId":"","config":null}'
    )
    assert link.retained == {}


async def test_refusals_are_dropped_and_counted_when_too_many_wait(desk: Desk) -> None:
    made, parts = publisher(desk, Retainer())
    refusal = Answer(message=Outbound(topic="x/error", payload=b"", qos=0), refusal=True)
    made.answer([refusal] * (WAITING_REFUSALS + 3))
    made.answer([Answer(message=Outbound(topic="x/status", payload=b"", qos=0))])
    assert parts.tallies.answers_refused["overload"] == 3
    await publish_all(made)
    assert parts.tallies.answers == WAITING_REFUSALS + 1


async def test_invariant_7_a_message_that_was_read_before_a_recall_is_decided_after_it(desk: Desk) -> None:
    parts = with_link(Retainer(), desk.storage, desk.directory, desk.clock)
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a")
    batch = batches.Batch()
    message = Inbound(
        topic="kp1/kettle-v1/cmx_ota/a/applied/json/1", payload=b'{"configId":"1.0.0"}', qos=1, packet_id=1
    )
    parsed = batches.parse([message], desk.directory, parts.settings, {}, batch, floods=Floods(), at=desk.clock.now())
    await desk.definitions.recall(APP, Version.parse("1.1.0"))
    async with desk.storage.transaction() as transaction:
        work = batches.Application(transaction, desk.directory, parts.settings, batch, rooms=Rooms(), watermark=0)
        await work.run(parsed, desk.clock.now(), no_steps)
    assert await desk.offer_of("a") is None
