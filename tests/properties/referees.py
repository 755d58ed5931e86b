"""What must hold after every commit of the engine, worked out without the code that decides, paces and judges."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from orchestrator.application.audits import Action
from orchestrator.application.records import REQUIRED, EndpointQuery
from orchestrator.domain import gates
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.cohorts import COHORTS, cohort
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.rollouts import Phase, shift
from orchestrator.domain.software import Strategy
from orchestrator.domain.versions import Version
from tests.properties.recounts import Trial, trials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import EndpointDocument, SoftwareRecord
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.policies import Limits, Window
    from orchestrator.domain.software import Software
    from protocol.links import Outbound
    from tests.properties.worlds import World

MINUTE = timedelta(minutes=1)
OPENS, CLOSES = 1, 5
"""Hours of the only window that there is, in its zone."""
VERDICTS = {AttemptState.CONFIRMED, AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED}
PASSING = {Action.ROLLOUT_ADVANCE, Action.ROLLOUT_PASS, Action.ROLLOUT_FINISH}


class Referee:
    """Looks at one world, from commit to commit."""

    def __init__(self) -> None:
        self.known: dict[int, EndpointDocument] = {}
        self._audited = 0
        self._boots = 0
        self._offers: defaultdict[Version | None, list[datetime]] = defaultdict(list)
        self._rates: dict[Version | None, object] = {}
        self._generations: Counter[str] = Counter()
        self._begun: set[tuple[str, int, int]] = set()

    async def look(self, world: World) -> None:
        """Something was committed."""
        entry = world.directory.by_name("kettle")
        if entry is None:
            return
        found = await world.storage.documents(entry, EndpointQuery(limit=500))
        present = {document.record.key: document for document in found}
        now = world.clock.at
        made = []
        for key, document in present.items():
            before = self.known.get(key)
            _check_running(before, document, world.reporting)
            if _check_sequence(before, document):
                made.append(document)
        for document in made:
            before = self.known.get(document.record.key)
            check_offer(entry, document, None if before is None else before.record.endpoint, now)
        self._check_slots(entry, made)
        self._check_rates(entry, made, now, world.boots)
        self.known = present
        await self._check_moves(world, entry)

    def _check_slots(self, entry: Entry, made: Sequence[EndpointDocument]) -> None:
        """No more offers in one transaction than slots were free before."""
        before = [item.record.endpoint.attempt for item in self.known.values()]
        held = [(item.origin, item.version) for item in before if item is not None and item.holds_slot]
        for place, limits in limits_of(entry).items():
            if limits.in_progress is None:
                continue
            taken = sum(place is None or payer(entry, *pair) == place for pair in held)
            given = sum(place is None or payer(entry, *_pair(item)) == place for item in made)
            assert given <= max(0, limits.in_progress - taken), (place, given, taken)

    def _check_rates(self, entry: Entry, made: Sequence[EndpointDocument], now: datetime, boots: int) -> None:
        """No more offers within any minute than the rate says; it begins anew with a start and with another rate."""
        self._begin_anew(entry, boots)
        for document in made:
            for place in (payer(entry, *_pair(document)), None):
                self._offers[place].append(now)
        for place, limits in limits_of(entry).items():
            recent = [at for at in self._offers[place] if at > now - MINUTE]
            self._offers[place] = recent
            if limits.per_minute is not None:
                assert len(recent) <= limits.per_minute, (place, recent)
            if limits.exponential is not None and limits.exponential.notified is not None:
                assert len(recent) <= limits.exponential.base * limits.exponential.factor**20

    def _begin_anew(self, entry: Entry, boots: int) -> None:
        if boots != self._boots:
            self._boots = boots
            self._offers.clear()
        for place, limits in limits_of(entry).items():
            rate = (limits.per_minute, limits.exponential)
            if self._rates.get(place) != rate:
                self._rates[place] = rate
                self._offers.pop(place, None)

    # What becomes of rollouts

    async def _check_moves(self, world: World, entry: Entry) -> None:
        entries = await world.storage.audits("kettle", None, 50)
        fresh = [item for item in reversed(entries) if item.number > self._audited]
        if fresh:
            self._audited = fresh[-1].number
        for item in fresh:
            action, path = item.entry.action, item.entry.resource
            if action in {Action.SOFTWARE_PUT, Action.SOFTWARE_PATCH, Action.SOFTWARE_DELETE}:
                self._generations[path] += 1
            if action.value.startswith("rollout.") and item.entry.before and item.entry.after:
                before, after = json.loads(item.entry.before), json.loads(item.entry.after)
                self._check_begun(path.removesuffix("/rollout"), action, before, after)
                if action in PASSING:
                    version = Version.parse(path.split("/")[1])
                    made = await trials(world.storage, entry.application.key)
                    check_gate(entry, entry.software[version], before["stage"], made, self.known)

    def _check_begun(self, path: str, action: Action, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """A stage begins once, and only after the one before it."""
        if action not in {Action.ROLLOUT_ADVANCE, Action.ROLLOUT_APPROVE}:
            assert after["stage"] == before["stage"]
        elif after["state"] == Phase.RUNNING.value:
            begun = (path, self._generations[path], after["stage"])
            assert after["stage"] == before["stage"] + 1
            assert begun not in self._begun
            self._begun.add(begun)
        if action is Action.ROLLOUT_ADVANCE:
            assert before["state"] == Phase.RUNNING.value


def _pair(document: EndpointDocument) -> tuple[Version | None, Version]:
    attempt = document.record.endpoint.attempt
    assert attempt is not None
    return attempt.origin, attempt.version


def limits_of(entry: Entry) -> dict[Version | None, Limits]:
    """Those of every rollout, and under None the application's."""
    own: dict[Version | None, Limits] = {item.version: item.policy.limits for item in entry.catalogue.software}
    return {**own, None: entry.application.limits}


def recalled(entry: Entry, version: Version | None) -> bool:
    """Whether software must not be run any more."""
    item = None if version is None else entry.catalogue.get(version)
    return item is not None and item.recalled_at is not None


def payer(entry: Entry, origin: Version | None, version: Version) -> Version:
    """By whose limits an offer is made."""
    return origin if origin is not None and recalled(entry, origin) else version


# Endpoints


def _check_running(before: EndpointDocument | None, after: EndpointDocument, reporting: Mapping[str, str]) -> None:
    """Invariant 4: only an endpoint's own report of success moves what it runs."""
    old = None if before is None else before.record.endpoint.running
    new = after.record.endpoint.running
    if (None if old is None else old.text) != (None if new is None else new.text):
        assert new is not None
        assert new.text == reporting.get(after.record.token)


def _check_sequence(before: EndpointDocument | None, after: EndpointDocument) -> bool:
    """Invariant 5: one offer, whose sequence grows by one; return whether it is new."""
    endpoint = after.record.endpoint
    old = 0 if before is None else before.record.endpoint.sequence
    assert endpoint.sequence in {old, old + 1}
    if endpoint.offer is not None:
        assert endpoint.offer.sequence == endpoint.sequence
        assert endpoint.offer.version != endpoint.running
    return endpoint.sequence > old


def check_offer(entry: Entry, document: EndpointDocument, before: Endpoint | None, now: datetime) -> None:
    """Invariants 5 to 7: an offer that was just made moves along an edge, to software that is open just now."""
    endpoint = document.record.endpoint
    attempt = endpoint.attempt
    assert attempt is not None
    assert (attempt.offered_at, attempt.state, attempt.origin) == (now, AttemptState.OFFERED, endpoint.running)
    item = entry.catalogue.get(attempt.version)
    assert item is not None
    assert endpoint.token_state is TokenState.ACTIVE
    assert entry.application.frozen is None
    assert goes(item)
    assert any(edge.matches(endpoint.running) for edge in item.upgradable_from)
    rescue, pinned = recalled(entry, endpoint.running), endpoint.pinned is not None
    assert attempt.stage == (None if rescue or pinned else item.rollout.stage)
    if not pinned:
        assert not over(item, now)
        assert targeted(item, document, now)
    if not pinned and not rescue:
        assert admitted(item, document)
        assert item.policy.window is None or window_open(item.policy.window, document, now)
    _check_particulars(entry, item, endpoint, now)
    if before is not None and before.attempt is not None and before.attempt.state is AttemptState.SOAKING:
        # Either it is rescued from its soak, or what it has said just now has ended that.
        ended = endpoint.last_seen_at == now or _soaked(entry, before, now)
        assert rescue or ended


def _soaked(entry: Entry, before: Endpoint, now: datetime) -> bool:
    attempt = before.attempt
    assert attempt is not None
    assert attempt.soaking_at is not None
    policy = entry.policy_of(attempt.version)
    stage = policy.stage(attempt.stage or 0)
    return now >= attempt.soaking_at + stage.soak


def _check_particulars(entry: Entry, item: Software, endpoint: Endpoint, now: datetime) -> None:
    setback = endpoint.setbacks.get(item.version)
    if setback is not None:
        assert not setback.exhausted
        assert setback.retry_at is None or setback.retry_at <= now
    required = item.policy.consent
    if required is None:
        required = entry.application.consent == REQUIRED
    if required and not recalled(entry, endpoint.running):
        assert endpoint.consents[item.version].granted


def goes(item: Software) -> bool:
    """Whether it may be offered at all."""
    stopped = item.strategy is Strategy.SUSPENDED or item.recalled_at is not None or not item.has_specification
    return not stopped and item.rollout.phase not in {Phase.PAUSED, Phase.ABORTED}


def over(item: Software, now: datetime) -> bool:
    """Whether the end of its rollout has come."""
    return item.policy.end is not None and item.policy.end <= now


def check_goal(entry: Entry, document: EndpointDocument, goal: Version | None, now: datetime) -> None:
    """What an endpoint is led to is the best that edges reach through what it may have, now or later."""
    endpoint = document.record.endpoint
    reached: set[Version] = set()
    pending = [endpoint.running]
    while pending:
        at = pending.pop()
        for item in entry.catalogue.software:
            along = any(edge.matches(at) for edge in item.upgradable_from) and item.version != endpoint.running
            if along and item.version not in reached and may_have(item, document, now):
                reached.add(item.version)
                pending.append(item.version)
    free = endpoint.running is None or recalled(entry, endpoint.running)
    better = {version for version in reached if free or (endpoint.running is not None and version > endpoint.running)}
    if endpoint.pinned is not None:
        better = reached & {endpoint.pinned}
    active = endpoint.token_state is TokenState.ACTIVE
    assert goal == (max(better, default=None) if active else None), (document.endpoint_id, goal, reached)


def may_have(item: Software, document: EndpointDocument, now: datetime) -> bool:
    """Whether an endpoint may have a software sooner or later, as things are."""
    endpoint = document.record.endpoint
    stopped = item.strategy is Strategy.SUSPENDED or item.recalled_at is not None or not item.has_specification
    if stopped or item.rollout.phase is Phase.ABORTED or (endpoint.pinned is None and over(item, now)):
        return False
    setback = endpoint.setbacks.get(item.version)
    if setback is not None and setback.exhausted:
        return False
    listed = item.strategy is not Strategy.TARGETED or (bool(item.filters) and in_lab(document))
    return endpoint.pinned is not None or listed


def in_lab(document: EndpointDocument) -> bool:
    """Whether the only filter that there is matches."""
    return bool(json.loads(document.attributes).get("site") == "lab")


def targeted(item: Software, document: EndpointDocument, now: datetime) -> bool:
    """Whether the software is for the endpoint by now, stages apart."""
    if item.rollout_date is not None and item.rollout_date > now:
        return False
    if item.strategy is not Strategy.TARGETED:
        return True
    return in_lab(document) and any(use.rollout_date is None or use.rollout_date <= now for use in item.filters)


def place(item: Software, document: EndpointDocument) -> int:
    """The rank of an endpoint in a rollout."""
    return (cohort("kettle", document.endpoint_id) + shift("kettle", item.version)) % COHORTS


def admitted(item: Software, document: EndpointDocument, stage: int | None = None) -> bool:
    """Whether a stage admits the endpoint, the present one unless it is said, or one before it."""
    last = item.rollout.stage if stage is None else stage
    for number, given in enumerate(item.policy.staging[: last + 1]):
        taken = item.rollout.members[number] if number < len(item.rollout.members) else frozenset()
        # Beside its percentage, one endpoint at most; of a number, no more than that.
        assert len(taken) <= (given.count or 1)
        by_percent = given.percent is not None and place(item, document) < given.percent * COHORTS / 100
        if by_percent or document.record.key in taken or (given.filter_id is not None and in_lab(document)):
            return True
    return False


def window_open(window: Window, document: EndpointDocument, now: datetime) -> bool:
    """Whether the window that rules use is open for an endpoint."""
    name = window.time_zone or json.loads(document.attributes).get("timeZone", "UTC")
    return OPENS <= now.astimezone(ZoneInfo(name)).hour < CLOSES


# Gates


def check_gate(
    entry: Entry,
    record: SoftwareRecord,
    stage: int,
    made: Sequence[Trial],
    fleet: Mapping[int, EndpointDocument],
) -> None:
    """A stage that is left by its gate has verdicts enough, few failures, and no stage before it has failed."""
    item = record.software
    for number in range(stage + 1):
        given = item.policy.stage(number)
        settled, failures = _verdicts(record, number, made)
        if settled >= given.sample:
            assert gates.bounds(failures, settled)[0] <= given.max_failure_rate
        if number == stage:
            members = sum(_certain(entry, item, stage, document) for document in fleet.values())
            # All may be in the stages before a last percentage.
            closing = stage + 1 == len(item.policy.staging) > 1 and given.percent is not None and not members
            assert settled >= 1 or closing
            assert failures <= given.max_failure_rate * settled
            aside = record.status.mark(stage).acknowledged
            assert settled >= min(given.sample, members - aside)


def _verdicts(record: SoftwareRecord, stage: int, made: Sequence[Trial]) -> tuple[int, int]:
    """All verdicts and those against the version, without those that were acknowledged."""
    own = [item.state for item in made if item.version == record.software.version and item.stage == stage]
    settled = [state for state in own if state in VERDICTS]
    failed = sum(state is not AttemptState.CONFIRMED for state in settled)
    aside = min(record.status.mark(stage).acknowledged, failed)
    return len(settled) - aside, failed - aside


def _certain(entry: Entry, item: Software, stage: int, document: EndpointDocument) -> bool:
    """Whether an endpoint surely is in a stage: it runs what the version may be installed over, and nothing is odd."""
    endpoint = document.record.endpoint
    if endpoint.token_state is not TokenState.ACTIVE or endpoint.pinned is not None or endpoint.consents:
        return False
    if endpoint.running is None or not endpoint.running < item.version or recalled(entry, endpoint.running):
        return False
    if item.strategy is Strategy.TARGETED and not in_lab(document):
        return False
    direct = any(edge.matches(endpoint.running) for edge in item.upgradable_from)
    return direct and admitted(item, document, stage) and not (stage and admitted(item, document, stage - 1))


# What the broker is told


def check_leaving(world: World, messages: Sequence[Outbound], known: Mapping[int, EndpointDocument]) -> None:
    """Invariant 7: nothing leaves that is stopped just now, but to whoever has started."""
    by_token = {document.record.token: document for document in known.values()}
    for message in messages:
        if not message.topic.endswith("/config/json/status") or not message.payload:
            continue
        token = message.topic.split("/")[3]
        version = Version.parse(json.loads(message.payload)["configId"])
        endpoint = by_token[token].record.endpoint
        assert endpoint.offer is not None
        assert endpoint.offer.version == version
        assert may_be_seen(world.entry, endpoint)


def may_be_seen(entry: Entry, endpoint: Endpoint) -> bool:
    """Whether an open attempt is an offer that may be seen."""
    offer = endpoint.offer
    item = None if offer is None else entry.catalogue.get(offer.version)
    if offer is None or item is None or item.recalled_at is not None or not item.has_specification:
        return False
    return offer.state is AttemptState.INSTALLING or (goes(item) and entry.application.frozen is None)
