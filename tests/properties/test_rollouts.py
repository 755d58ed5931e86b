"""The whole engine through anything that may happen to it: the invariants that always hold.

A referee looks at every commit (`referees`); here is what happens, and what must hold when everything has come to rest.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orchestrator.application.problems import RequestError
from orchestrator.domain import changes
from orchestrator.domain.attempts import OPEN, AttemptState
from orchestrator.domain.catalogues import VersionConflict
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.facts import HealthReported
from orchestrator.domain.rollouts import IllegalRolloutMove
from orchestrator.persistence.storage import open_storage
from tests.properties import policies, referees
from tests.properties.recounts import recount
from tests.properties.referees import Referee
from tests.properties.worlds import TOKENS, Crash, Said, World, report
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from orchestrator.application.records import EndpointDocument
    from orchestrator.domain.attempts import Attempt
    from orchestrator.domain.versions import Version

STEPS = (
    "batch-read",
    "batch-decided",
    "batch-stored",
    "batch-committed",
    "sweep-read",
    "sweep-written",
    "sweep-committed",
    "timers-stored",
    "timers-committed",
    "revision-written",
    "revision-committed",
    "rollout-moved",
    "pushes-rendered",
    "pushes-acknowledged",
)
SPANS = tuple(
    timedelta(**span)
    for span in ({"seconds": 20}, {"minutes": 1}, {"minutes": 11}, {"hours": 1}, {"hours": 6}, {"days": 1}, {"days": 3})
)
some = st.just(set[str]()) | st.sets(st.sampled_from(TOKENS), max_size=3)
MEMORY = Path("/dev/shm")  # noqa: S108 - what is put there goes with the test


@functools.cache
def _template() -> bytes:
    """An empty database."""
    with tempfile.TemporaryDirectory() as folder:

        async def make() -> None:
            async with open_storage(f"sqlite+aiosqlite:///{folder}/otao.db"):
                pass

        asyncio.run(make())
        return (Path(folder) / "otao.db").read_bytes()


class Life(RuleBasedStateMachine):
    """A small fleet, its operators, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.referee = Referee()
        self.folder = Path(tempfile.mkdtemp(prefix="otao-life-", dir=MEMORY if MEMORY.is_dir() else None))
        (self.folder / "otao.db").write_bytes(_template())
        self.runner = asyncio.Runner()
        self.opening = open_storage(f"sqlite+aiosqlite:///{self.folder}/otao.db")
        storage = self.runner.run(self.opening.__aenter__())
        self.world = World(
            storage,
            committed=self.referee.look,
            leaving=lambda world, messages: referees.check_leaving(world, messages, self.referee.known),
        )
        self.runner.run(self.world.boot())

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
        finally:
            self.runner.run(self.opening.__aexit__(None, None, None))
            self.runner.close()
            shutil.rmtree(self.folder)

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        """Let something happen; where the process is killed meanwhile, it starts again."""
        try:
            self.runner.run(what)
        except* Crash:
            event("crash")
            self.runner.run(self.start_again())
        except* (RequestError, VersionConflict, IllegalRolloutMove) as refused:
            event(f"refused: {type(refused.exceptions[0]).__name__}")
        self.world.crash_at = None

    async def start_again(self) -> None:
        self.world.post.deliver_again()
        await self.world.boot()
        await self.world.process()

    def say(self, messages: Iterable[Said]) -> None:
        """Let endpoints say something, all in one batch."""
        said = list(messages)
        if said:
            self.do(self.world.say(*said))

    def known(self) -> dict[str, EndpointDocument]:
        return {document.endpoint_id: document for document in self.referee.known.values()}

    def attempts(self, *states: AttemptState) -> Iterator[tuple[EndpointDocument, Attempt]]:
        """The endpoints whose latest attempt is in one of these states."""
        for document in self.known().values():
            attempt = document.record.endpoint.attempt
            if attempt is not None and attempt.state in states:
                yield document, attempt

    def offers(self) -> dict[str, str]:
        """What endpoints read that they are offered."""
        return {
            document.endpoint_id: attempt.version.text
            for document, attempt in self.attempts(*OPEN)
            if referees.may_be_seen(self.world.entry, document.record.endpoint)
        }

    @initialize(start=policies.starts)
    def begin(self, start: policies.Start) -> None:
        async def found() -> None:
            world = self.world
            await world.found(**start.application)
            for version, body in start.software.items():
                await world.define(version, body)
            await world.say(*(report(token, "1.0.0") for token in TOKENS[:3]))
            await world.say(*(report(token, "1.0.0+built.again") for token in TOKENS[3:5]))
            await world.settle()

        self.do(found())

    @rule(failing=some, silent=some, falling=some, span=st.sampled_from(SPANS))
    def go_on(self, failing: set[str], silent: set[str], falling: set[str], span: timedelta) -> None:
        """Most endpoints do as they are told; some fail, are not heard, or go back after a while."""
        self.do(self.world.publish())
        self.say(
            report(token, version, 500 if token in failing else 200)
            for token, version in self.offers().items()
            if token not in silent
        )
        self.world.clock.at += span
        self.say(
            report(document.endpoint_id, attempt.origin.text)
            for document, attempt in self.attempts(AttemptState.SOAKING, AttemptState.CONFIRMED)
            if document.endpoint_id in falling and attempt.origin
        )
        self.do(self.world.settle())

    @rule(span=st.sampled_from(SPANS))
    def go_on_well(self, span: timedelta) -> None:
        self.go_on(set(), set(), set(), span)

    @rule(word=policies.words)
    def speak(self, word: policies.Word) -> None:
        """Endpoints say anything."""
        match word:
            case policies.Report():
                self.say([report(word.token, word.version, word.code)])
            case policies.Progress():
                chosen = {token: version for token, version in self.offers().items() if token in word.tokens}
                state = {"state": "installing"}
                self.say(
                    Said(token=token, resource="progress/json", body={"configId": version, **state})
                    for token, version in chosen.items()
                )
            case policies.Late():
                self.say(
                    report(document.endpoint_id, attempt.version.text, word.code)
                    for document, attempt in self.attempts(AttemptState.WITHDRAWN)
                )
            case policies.Asked():
                self.say([Said(token=word.token, resource="config/json/1", body=word.body)])
            case policies.Moved():
                self.say([Said(token=word.token, resource="update/keys/1", body=word.attributes, instance="epmx")])
            case policies.Health():
                self.do(self.world.hear(word.token, HealthReported(healthy=word.healthy, at=self.world.clock.at)))
            case policies.Again():
                self.say(
                    report(document.endpoint_id, document.record.endpoint.running.text)
                    for document in self.known().values()
                    if document.record.endpoint.running is not None
                )
            case _:
                assert_never(word)

    @rule(order=policies.orders)
    def operate(self, order: policies.Order) -> None:
        """Operators do anything."""
        self.do(policies.carry_out(order, self.world))

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: timedelta) -> None:
        self.world.clock.at += span
        self.do(self.world.tick())

    @rule(twice=st.booleans())
    def turn_a_page(self, twice: bool) -> None:
        """A tick, or two, in the middle of a sweep."""
        self.do(self.world.page())
        self.do(self.world.tick())
        if twice:
            self.do(self.world.tick_again())

    @rule()
    def send(self) -> None:
        """What is to be sent leaves, also in the middle of a sweep."""
        self.do(self.world.publish())

    @rule(step=st.sampled_from(STEPS))
    def be_killed(self, step: str) -> None:
        """Whatever comes next, at the step."""
        self.world.crash_at = step

    @rule()
    def come_to_rest(self) -> None:
        self.world.crash_at = None
        self.do(self.world.settle())
        self.runner.run(self.check_rest())

    # What must hold

    async def check_rest(self) -> None:
        world = self.world
        entry, now = world.entry, world.clock.at
        queued = {queue.version for queue in await world.storage.queues()}
        for document in self.referee.known.values():
            endpoint = document.record.endpoint
            decision = decide(standing(endpoint, entry.catalogue, now), entry.catalogue, now)
            referees.check_goal(entry, document, decision.goal, now)
            offer = endpoint.offer
            if offer is None and decision.hop is not None:
                event("waits for room")
                assert self.full(decision.hop, endpoint.running), (document.endpoint_id, decision.hop)
                assert decision.hop in queued
            elif offer is not None and not changes.agrees(endpoint, decision):
                assert changes.stays(offer, endpoint, decision, entry.catalogue)
                assert offer.state is AttemptState.INSTALLING or decision.kept
            else:
                assert changes.agrees(endpoint, decision), (document.endpoint_id, decision.hop, offer)
        self.check_retained()

    def full(self, version: Version, running: Version | None) -> bool:
        """Whether there is no room for an offer, as far as slots tell; a rate may be used up at any time."""
        entry = self.world.entry
        paying = referees.payer(entry, running, version)
        found = []
        for place, limits in referees.limits_of(entry).items():
            if place is not None and place != paying:
                continue
            held = [item.record.endpoint.attempt for item in self.referee.known.values()]
            taken = sum(
                place is None or referees.payer(entry, item.origin, item.version) == place
                for item in held
                if item is not None and item.holds_slot
            )
            found.append(limits.in_progress is not None and taken >= limits.in_progress)
            found.append(limits.per_minute is not None or limits.exponential is not None)
        return any(found)

    def check_retained(self) -> None:
        """Invariant 1: the broker retains what the rows say, and nothing else."""
        expected = {}
        for document in self.referee.known.values():
            endpoint = document.record.endpoint
            if endpoint.observe and endpoint.offer and referees.may_be_seen(self.world.entry, endpoint):
                expected[document.record.token] = endpoint.offer.version.text
        assert self.world.post.offers() == expected

    @invariant()
    def counters_equal_rows(self) -> None:
        self.runner.run(self._recount())

    async def _recount(self) -> None:
        found = self.world.directory.by_name(APP)
        if found is not None:
            key = found.application.key
            assert await self.world.storage.counters(key) == await recount(self.world.storage, key)

    def come_to_an_end(self) -> None:
        """When nobody says anything any more, every attempt that was reached settles."""
        if self.world.directory.by_name(APP) is None:
            return
        for span in (timedelta(), timedelta(hours=3), timedelta(days=2), timedelta(days=2)):
            self.world.clock.at += span
            self.come_to_rest()
        for document in self.referee.known.values():
            attempt = document.record.endpoint.attempt
            if attempt is not None and attempt.reached_at is not None:
                assert attempt.state not in {*OPEN, AttemptState.SOAKING}, document.endpoint_id


def test_invariants_4_5_6_7_and_8_hold_whatever_happens_to_a_fleet() -> None:
    healthy = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=healthy)
    run_state_machine_as_test(Life, settings=run)
