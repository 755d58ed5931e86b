from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import classes, counters
from orchestrator.application.classes import EndpointClass
from orchestrator.application.records import REQUIRED
from orchestrator.application.rooms import Ledger
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.policies import Limits, RolloutPolicy
from tests.contract.storages import APP, NOW, entry_of
from tests.unit.orchestrator.domain.builders import general, recalled, suspended, v

if TYPE_CHECKING:
    from orchestrator.application.classes import ClassVerdict
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.domain.software import Software

IDLE = EndpointClass(running=v("1.0.0"), attempt=None, origin=None, state=AttemptState.OFFERED, filters=frozenset())
OFFERED = replace(IDLE, attempt=v("1.1.0"), origin=v("1.0.0"), stage=0)
KETTLE = replace(APP, key=1)


def entry(item: Software | None = None, *more: Software, consent: str = "none") -> Entry:
    software = [general("1.0.0"), item or general("1.1.0", "1.0.0"), *more]
    return entry_of(replace(KETTLE, consent=consent), software)


def verdict(of: EndpointClass, size: int, at: Entry) -> ClassVerdict | None:
    return classes.verdict(of, size, at, Ledger({}, Counter(), NOW, 0.0), NOW)


def existing(found: ClassVerdict | None) -> ClassVerdict:
    assert found is not None
    return found


def moved(found: ClassVerdict, size: int) -> dict[tuple[str, str, str], int]:
    """What a verdict does to the numbers of versions."""
    differences: Counter[CounterKey] = classes.differences(1, [found], {found.of: size})
    return {
        (key.name, "" if key.version is None else key.version.text, key.label): amount
        for key, amount in differences.items()
    }


def test_a_class_that_is_as_the_decision_wants_it_gets_no_verdict() -> None:
    assert verdict(OFFERED, 9, entry()) is None
    assert verdict(replace(IDLE, running=v("1.1.0")), 9, entry()) is None


def test_a_class_with_a_hop_is_offered_it() -> None:
    found = existing(verdict(IDLE, 9, entry()))
    assert (found.hop, found.stage, found.withdraws, found.asks, found.moves) == (v("1.1.0"), 0, False, None, True)
    assert (found.most, found.offered(9), found.reason) == (9, 9, None)
    assert moved(found, 9) == {
        ("attempts", "1.1.0", "offered"): 9,
        ("latest", "1.1.0", "offered"): 9,
        ("stages", "1.1.0", "0 offered unreached"): 9,
        ("slots", "1.1.0", ""): 9,
    }


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (suspended("1.1.0", "1.0.0"), "blocked: strategy"),
        (recalled("1.1.0", "1.0.0"), "its software was recalled"),
        (general("1.1.0", "0.9.0"), "up-to-date"),
    ],
)
def test_a_class_whose_offer_ends_says_why(item: Software, reason: str) -> None:
    found = existing(verdict(OFFERED, 4, entry(item)))
    assert (found.hop, found.withdraws, found.reason, found.moves) == (None, True, reason, True)
    assert moved(found, 4)["latest", "1.1.0", "withdrawn"] == 4
    assert moved(found, 4)["slots", "1.1.0", ""] == -4


def test_another_hop_replaces_an_offer_and_leaves_it_behind_as_withdrawn() -> None:
    found = existing(verdict(OFFERED, 4, entry(None, general("1.2.0", "1.0.0"))))
    assert (found.hop, found.reason) == (v("1.2.0"), "1.2.0 is offered instead")
    numbers = moved(found, 4)
    assert (numbers["attempts", "1.1.0", "withdrawn"], numbers["latest", "1.2.0", "offered"]) == (4, 4)
    assert ("latest", "1.1.0", "withdrawn") not in numbers


def limited(most: int) -> Software:
    return replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(limits=Limits(in_progress=most)))


def test_where_room_is_short_the_first_of_a_class_are_offered_and_the_rest_stay_as_they_are() -> None:
    found = existing(verdict(IDLE, 9, entry(limited(2))))
    assert (found.most, found.offered(9), found.rest is found.before, found.moves) == (2, 2, True, True)
    assert moved(found, 9)["latest", "1.1.0", "offered"] == 2


def test_without_any_room_there_is_nothing_to_write_unless_an_offer_ends() -> None:
    at = entry(limited(2))
    ledger = Ledger({}, Counter(), NOW, 0.0)
    first = existing(classes.verdict(IDLE, 2, at, ledger, NOW))
    second = existing(classes.verdict(replace(IDLE, zone="Europe/Berlin"), 5, at, ledger, NOW))
    assert (first.moves, second.moves, second.offered(5)) == (True, False, 0)
    ending = existing(classes.verdict(replace(OFFERED, attempt=v("1.0.5")), 5, at, ledger, NOW))
    assert (ending.most, ending.moves, ending.withdraws) == (0, True, True)
    assert moved(ending, 5)["latest", "1.0.5", "withdrawn"] == 5


def test_where_consent_is_wanting_the_class_is_asked_once() -> None:
    careful = entry(consent=REQUIRED)
    found = existing(verdict(IDLE, 3, careful))
    assert (found.hop, found.asks, found.moves) == (None, v("1.1.0"), True)
    assert verdict(replace(IDLE, asked=v("1.1.0")), 3, careful) is None
    # And no more when nothing is to be asked.
    unasked = existing(
        verdict(replace(IDLE, asked=v("1.1.0")), 3, entry(suspended("1.1.0", "1.0.0"), consent=REQUIRED))
    )
    assert (unasked.asks, unasked.hop, unasked.withdraws) == (None, None, False)


def test_the_numbers_are_those_that_the_endpoints_one_by_one_would_make() -> None:
    found = existing(verdict(OFFERED, 3, entry(None, general("1.2.0", "1.0.0"))))
    left = found.before.attempt
    assert left is not None
    total: Counter[CounterKey] = Counter()
    for _ in range(3):
        counters.add(total, 1, found.before, -1)
        counters.add(total, 1, found.after, 1)
        counters.leave_behind(total, 1, replace(left, state=AttemptState.WITHDRAWN), 1)
    expected = Counter({key: amount for key, amount in total.items() if amount})
    assert classes.differences(1, [found], {OFFERED: 3}) == expected


def test_a_class_is_told_by_what_it_has_in_common_and_not_by_one_of_its_endpoints() -> None:
    assert replace(IDLE, cohort=1) == replace(IDLE, cohort=2)
    assert replace(IDLE, held=1) != replace(IDLE, held=2)
    assert IDLE.endpoint(NOW).attempt is None
    attempt = replace(OFFERED, reached=True, healthy=False).endpoint(NOW).attempt
    assert attempt is not None
    assert (attempt.version, attempt.origin, attempt.reached_at, attempt.healthy) == (
        v("1.1.0"),
        v("1.0.0"),
        NOW,
        False,
    )
