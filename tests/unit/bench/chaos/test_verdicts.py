"""Each verdict is given evidence with one thing wrong, and has to find it; clean evidence is found clean."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bench.chaos import verdicts
from bench.chaos.faults import Return
from bench.chaos.fleets import Ledger
from bench.chaos.verdicts import Verdict
from device_sim.devices import Device, Model, Request, State
from orchestrator.application.counters import CounterKey
from tests.services import topic

TOKENS = ["kettle-0", "kettle-1"]
REPORTS = [("r0", TOKENS[0], 1_000), ("r1", TOKENS[1], 2_000), ("r2", TOKENS[0], 3_000), ("r3", TOKENS[1], 4_000)]
"""Reason, token and milliseconds, as the history has them."""
SPECIFICATIONS = {"1.0.1": {"link": "https://firmware.example/1"}, "1.0.2": {"link": "https://firmware.example/2"}}
OFFERED = {token: ["1.0.1", "1.0.2"] for token in TOKENS[:2]}
BEGUN = Counter([("software/1.0.1", 1), ("software/1.0.2", 1), ("software/1.0.2", 2)])
RUNNING = CounterKey(1, "running")
NUMBERS = Counter({RUNNING: 2, CounterKey(1, "attempts", label="confirmed"): 4})


def ledger() -> Ledger:
    """Four reports, of two devices in turn; the last one was not acknowledged."""
    made = Ledger()
    for number in range(4):
        made.note(number % 2, float(number), None)
    for number in range(3):
        made.answered(number, well=True)
    return made


def reports(*rows: tuple[str, str, int], returns: tuple[Return, ...] = (), of: Ledger | None = None) -> list[str]:
    verdict = Verdict()
    verdicts.judge_reports(verdict, rows, of or ledger(), TOKENS, returns)
    return verdict.wrong


def test_every_acknowledged_report_once_and_in_order_is_right_and_so_is_one_that_was_not_acknowledged() -> None:
    assert reports(*REPORTS) == reports(*REPORTS[:3]) == []


def test_a_report_that_was_acknowledged_and_is_not_stored_is_found() -> None:
    assert reports(REPORTS[0], *REPORTS[2:]) == ["acknowledged reports that are not in the history: 1, such as 1"]


def test_a_report_that_is_stored_twice_is_found() -> None:
    found = reports(*REPORTS, ("r3", TOKENS[1], 5_000))
    assert found == ["reports that are in the history more than once: 1, such as 3"]


def test_a_report_that_is_stored_after_a_younger_one_of_its_device_is_found() -> None:
    found = reports(REPORTS[2], REPORTS[1], REPORTS[3], ("r0", TOKENS[0], 5_000))
    assert found == ["reports that are in the history after a younger one of their device: 1, such as 0"]


def test_a_report_that_is_stored_at_another_endpoint_is_found() -> None:
    found = reports(REPORTS[0], ("r1", TOKENS[0], 2_000), *REPORTS[2:])
    assert found == ["reports in the history of another endpoint: 1, such as r1 at kettle-0"]


def test_where_no_report_was_acknowledged_nothing_is_proved() -> None:
    assert reports(of=Ledger()) == ["nothing to compare: no report was acknowledged"]


@pytest.mark.parametrize(
    ("returned", "wrong"),
    [
        (Return(saved_at=1.5, at=4.5), 0),
        # Saved before it was sent, or back before it was stored first, or after it was stored again.
        (Return(saved_at=0.5, at=4.5), 1),
        (Return(saved_at=1.5, at=1.9), 1),
        (Return(saved_at=1.5, at=5.5), 1),
    ],
)
def test_only_a_store_that_held_a_report_and_came_back_in_between_excuses_a_second_time(
    returned: Return, wrong: int
) -> None:
    again = ("r1", TOKENS[1], 5_000)
    assert len(reports(*REPORTS[:3], again, returns=(returned,))) == wrong


def device(token: str, running: str = "1.0.2", *, confirmed: str = "", **members: Any) -> Device:  # noqa: ANN401 - of a device
    """One at rest that was heard to run a version, by default what it runs."""
    model = Model(token=token, app_version="kettle-v1")
    resting = Device(model=model, slots=(running, "1.0.0"), state=State.IDLE, confirmed=confirmed or running)
    return replace(resting, **members)


def document(token: str, running: str = "1.0.2", offer: str | None = None) -> dict[str, object]:
    return {"token": token, "runningVersion": running, "offer": offer and {"version": offer}}


def endpoints(shown: list[dict[str, object]], *devices: Device) -> list[str]:
    verdict = Verdict()
    verdicts.judge_endpoints(verdict, shown, devices)
    return verdict.wrong


FLEET = tuple(device(token) for token in TOKENS)
SHOWN = [document(token) for token in TOKENS]


def test_endpoints_that_run_what_is_stored_are_right() -> None:
    assert endpoints(SHOWN, *FLEET) == []


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (
            [SHOWN[0], document(TOKENS[1], "1.0.1")],
            "endpoints that run another version than is stored: 1, such as kettle-1 runs 1.0.2, stored 1.0.1",
        ),
        (SHOWN[:1], "endpoints that run another version than is stored: 1, such as kettle-1 runs 1.0.2, stored None"),
        ([*SHOWN, document("stranger")], "endpoints that are no device: 1, such as stranger"),
        ([*SHOWN, SHOWN[0]], "devices that are several endpoints: 1, such as kettle-0"),
    ],
)
def test_an_endpoint_that_is_stored_otherwise_than_it_is_is_found(shown: list[dict[str, object]], found: str) -> None:
    assert endpoints(shown, *FLEET) == [found]


def test_where_no_endpoint_is_stored_nothing_is_proved() -> None:
    assert endpoints([]) == ["nothing to compare: no endpoint is stored"]


@pytest.mark.parametrize(("state", "wrong"), [(State.CHECKING, 0), (State.IDLE, 0), (State.OFF, 1), (State.GONE, 1)])
def test_only_a_device_that_is_in_the_middle_of_an_update_may_be_stored_as_before(state: State, wrong: int) -> None:
    moving = device(TOKENS[0], "1.0.2", confirmed="1.0.1", state=state)
    assert len(endpoints([document(TOKENS[0], "1.0.1")], moving)) == wrong


def test_devices_that_have_not_come_to_rest_are_found_but_those_that_are_away() -> None:
    asked = Request(topic="x", payload=b"")
    waits, moves = device("waits", pending=(asked,)), device("moves", state=State.INSTALLING)
    away = device("away", confirmed="1.0.1", state=State.GONE)
    found = verdicts.unsettled([*FLEET, waits, moves, away])
    assert [sentence.partition(" ")[0] for sentence in found] == ["waits", "moves"]


PUSH = topic(TOKENS[0], "config/json/status")
OFFER = {"configId": "1.0.2", "statusCode": 200, "reasonPhrase": "OK", "config": SPECIFICATIONS["1.0.2"]}
OFFERING = [document(TOKENS[0], "1.0.1", "1.0.2"), document(TOKENS[1])]


def retained(found: dict[str, bytes]) -> list[str]:
    verdict = Verdict()
    verdicts.judge_retained(verdict, found, "kettle-v1", OFFERING, SPECIFICATIONS)
    return verdict.wrong


def test_topics_that_retain_their_endpoints_offer_and_nothing_else_are_right() -> None:
    assert retained({PUSH: json.dumps(OFFER).encode()}) == []


OTHER = topic(TOKENS[1], "config/json/status")


@pytest.mark.parametrize(
    ("found", "where"),
    [
        ({}, PUSH),
        ({PUSH: json.dumps(OFFER | {"configId": "1.0.1"}).encode()}, PUSH),
        ({PUSH: json.dumps(OFFER | {"config": SPECIFICATIONS["1.0.1"]}).encode()}, PUSH),
        ({PUSH: json.dumps(OFFER | {"more": 1}).encode()}, PUSH),
        ({PUSH: b"{"}, PUSH),
        ({PUSH: json.dumps(OFFER).encode(), OTHER: json.dumps(OFFER).encode()}, OTHER),
        (
            {PUSH: json.dumps(OFFER).encode(), topic("kettle-9", "consent/json/status"): b"{}"},
            topic("kettle-9", "consent/json/status"),
        ),
    ],
    ids=["missing", "stale", "other specification", "more members", "no JSON", "of no offer", "foreign"],
)
def test_a_retained_message_that_is_not_the_offer_is_found(found: dict[str, bytes], where: str) -> None:
    assert retained(found) == [f"topics that do not retain their endpoint's offer: 1, such as {where}"]


def test_what_is_retained_for_nobodys_application_version_is_found() -> None:
    verdict = Verdict()
    verdicts.judge_strays(verdict, [PUSH], {"kettle-v1"})
    assert verdict.wrong == []
    stray = topic("kettle-0", "config/json/status", app_version="kettle-v0")
    verdicts.judge_strays(verdict, [PUSH, stray], {"kettle-v1"})
    assert verdict.wrong == [
        f"topics that are retained for an application version that there is not: 1, such as {stray}"
    ]


def offers(heard: dict[str, list[str]]) -> list[str]:
    verdict = Verdict()
    verdicts.judge_offers(verdict, OFFERED, heard)
    return verdict.wrong


def test_offers_heard_as_they_were_decided_are_right_though_some_were_not_heard() -> None:
    assert offers({TOKENS[0]: ["1.0.1", "1.0.2"], TOKENS[1]: ["1.0.2"]}) == []


@pytest.mark.parametrize(
    ("heard", "stale"),
    [
        ({TOKENS[0]: ["1.0.2", "1.0.1"]}, "kettle-0 was offered 1.0.1"),
        ({TOKENS[0]: ["1.0.1", "1.0.2", "1.0.1"]}, "kettle-0 was offered 1.0.1"),
        ({TOKENS[0]: ["1.0.3"]}, "kettle-0 was offered 1.0.3"),
        ({"stranger": ["1.0.1"]}, "stranger was offered 1.0.1"),
    ],
    ids=["before an older one", "again", "never decided", "to nobody"],
)
def test_an_offer_that_was_heard_and_was_not_to_be_made_is_found(heard: dict[str, list[str]], stale: str) -> None:
    (found,) = offers(heard)
    assert found.startswith(f"offers that were not, or not any more, to be made: 1, such as {stale}, ")


def test_where_no_offer_was_heard_nothing_is_proved() -> None:
    assert offers({}) == ["nothing to compare: no offer was heard"]


def test_a_stage_that_began_twice_is_found() -> None:
    verdict = Verdict()
    verdicts.judge_stages(verdict, BEGUN)
    assert verdict.wrong == []
    verdicts.judge_stages(verdict, BEGUN + Counter([("software/1.0.2", 1)]))
    assert verdict.wrong == ["stages that began more than once: 1, such as ('software/1.0.2', 1)"]


@pytest.mark.parametrize(
    "kept",
    [NUMBERS | {RUNNING: 3}, {RUNNING: 2}, NUMBERS | {CounterKey(1, "attempts"): 1}],
    ids=["other", "none", "more"],
)
def test_a_number_that_differs_from_a_recount_is_found(kept: dict[CounterKey, int]) -> None:
    verdict = Verdict()
    verdicts.judge_numbers(verdict, NUMBERS, NUMBERS)
    assert verdict.wrong == []
    verdicts.judge_numbers(verdict, Counter(kept), NUMBERS)
    (found,) = verdict.wrong
    assert found.startswith("numbers that differ from a recount: 1, such as ")


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"200": 5, "201": 1, "404": 2, "409": 1, "503": 3, "ReadTimeout": 1}, []),
        (
            {"200": 5, "500": 1},
            ["calls of the operator that were answered with an error of the service: 1, such as 1 with 500"],
        ),
        (
            {"200": 5, "502": 2},
            ["calls of the operator that were answered with an error of the service: 1, such as 2 with 502"],
        ),
        ({"503": 3}, ["nothing to compare: no call was answered well"]),
    ],
)
def test_a_call_that_a_service_answered_with_an_error_of_its_own_is_found(
    answers: dict[str, int], found: list[str]
) -> None:
    verdict = Verdict()
    verdicts.judge_calls(verdict, Counter(answers))
    assert verdict.wrong == found


def test_a_service_that_ended_by_itself_or_did_not_end_well_is_found() -> None:
    verdict = Verdict()
    verdicts.judge_ends(verdict, [], [0, 0, 0])
    assert verdict.wrong == []
    verdicts.judge_ends(verdict, ["before disk full: Traceback"], [0, 1])
    assert verdict.wrong == [
        "times that a service ended by itself: 1, such as before disk full: Traceback",
        "services that did not end well when they were asked to: 1, such as 1",
    ]
