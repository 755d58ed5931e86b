"""The member `rollout`: every knob is read, and what contradicts itself is refused at the member that has to change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents.rollouts import RolloutBody, SharedLimitsBody
from orchestrator.application.problems import MemberError
from orchestrator.domain.policies import (
    DEFAULT_POLICY,
    STANDARD,
    UNLIMITED,
    Attempts,
    Exponential,
    Limits,
    OnClose,
    OnFailure,
    RolloutPolicy,
    Stage,
    Window,
)
from tests.unit.orchestrator.application.desks import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

WITHIN = "must be 1 to 1,000,000,000"
NIGHT = {"cron": "0 1 * * 1-5", "duration": "PT4H"}
NEW_YEAR = {"cron": "0 1 1 1 *", "duration": "PT1H"}
RAMP = {"base": 50, "factor": 1.5}


def read(members: Mapping[str, object]) -> RolloutBody:
    return RolloutBody.read({name: json.dumps(value) for name, value in members.items()}, LIMITS)


def refused(members: Mapping[str, object]) -> MemberError:
    with pytest.raises(MemberError) as caught:
        read(members)
    return caught.value


def test_without_a_word_all_is_as_without_a_rollout() -> None:
    assert read({}).policy == DEFAULT_POLICY
    assert read({}).start is None
    nothing = dict.fromkeys(("start", "end", "stages", "window", "consent", "onFailure"))
    assert read({**nothing, "limits": {"perMinute": None, "exponential": None}}).policy == DEFAULT_POLICY


def test_every_knob_is_read() -> None:
    body = read(
        {
            "start": "2026-12-01T08:00:00Z",
            "end": "2026-12-02T08:00:00+01:00",
            "stages": [{"percent": 1, "soak": "PT1H"}, {"percent": 100}],
            "limits": {"perMinute": 6000, "inProgress": 20, "claim": "PT5M", "exponential": {**RAMP, "notified": 9}},
            "deadline": {"installing": "PT2H"},
            "attempts": {"max": 5, "backoff": "PT1M", "returns": 9},
            "window": {**NIGHT, "timeZone": "Europe/Berlin", "onClose": "withdraw"},
            "consent": "required",
            "onFailure": "revert",
        }
    )
    assert body.start == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert body.policy == RolloutPolicy(
        stages=(Stage(percent=1, soak=timedelta(hours=1)), Stage(percent=100)),
        limits=Limits(
            per_minute=6000,
            in_progress=20,
            claim=timedelta(minutes=5),
            exponential=Exponential(base=50, factor=1.5, notified=9),
        ),
        attempts=Attempts(max=5, backoff=timedelta(minutes=1), returns=9),
        installing=timedelta(hours=2),
        window=Window(
            cron="0 1 * * 1-5",
            duration=timedelta(hours=4),
            time_zone="Europe/Berlin",
            on_close=OnClose.WITHDRAW,
        ),
        consent=True,
        on_failure=OnFailure.REVERT,
        end=datetime(2026, 12, 2, 7, tzinfo=UTC),
    )


@pytest.mark.parametrize(("consent", "meaning"), [("none", False), ("required", True), (None, None)])
def test_consent_overrides_the_application_or_leaves_it(consent: str | None, meaning: bool | None) -> None:
    assert read({"consent": consent}).policy.consent is meaning


def test_a_window_is_in_utc_unless_it_says_a_zone_or_the_endpoint_s() -> None:
    zones = [read({"window": {**NIGHT, **zone}}).policy.window for zone in ({}, {"timeZone": "endpoint"})]
    assert [window and (window.time_zone, window.on_close) for window in zones] == [
        ("UTC", OnClose.KEEP),
        (None, OnClose.KEEP),
    ]


def test_a_rate_may_begin_at_its_limit_and_grow_on_confirmations() -> None:
    given = {"perMinute": 50, "exponential": {**RAMP, "succeeded": 10}}
    growth = read({"limits": given}).policy.limits.exponential
    assert growth == Exponential(base=50, factor=1.5, succeeded=10)


def test_a_soak_may_be_as_long_as_the_deadline() -> None:
    assert read({"stages": [{"percent": 1, "soak": "P1D"}]}).policy.stages[0].soak == timedelta(days=1)
    assert read({"stages": "standard", "deadline": {"installing": "PT6H"}}).policy.stages == STANDARD
    mixed = [{"percent": 1, "soak": "PT1H"}, {"percent": 20, "soak": "PT12H"}, {"percent": 100}]
    assert len(read({"stages": mixed, "deadline": {"installing": "PT2H"}}).policy.stages) == len(mixed)


@pytest.mark.parametrize(
    "times",
    [
        {"start": "2026-12-01T00:00:00Z", "end": "2027-01-01T01:00:01Z"},
        {"start": "2027-01-01T01:59:59Z", "end": "2027-01-02T00:00:00Z"},
        # Whether it opens depends on when that is said.
        {"end": "2026-12-02T00:00:00Z"},
        {"start": "2027-01-02T00:00:00Z"},
    ],
)
def test_a_window_that_opens_at_all_is_a_window(times: Mapping[str, object]) -> None:
    assert read({"window": NEW_YEAR, **times}).policy.window is not None


@pytest.mark.parametrize(
    ("members", "path", "code", "sentence"),
    [
        (
            {"start": "2026-12-01T08:00:00Z", "end": "2026-12-01T09:00:00+01:00"},
            "end",
            "member-invalid",
            "must lie after start, 2026-12-01T08:00:00Z: nobody would be offered it",
        ),
        ({"end": "tomorrow"}, "end", "member-invalid", "must be an RFC 3339 date"),
        (
            {"window": NEW_YEAR, "start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"},
            "window",
            "member-invalid",
            (
                "does not open from start, 2026-12-01T00:00:00Z, to end, 2026-12-02T00:00:00Z: "
                "nobody would be offered it; put end later, or change cron"
            ),
        ),
        (
            {
                "window": {**NEW_YEAR, "timeZone": "endpoint"},
                "start": "2027-01-04T00:00:00Z",
                "end": "2027-12-29T00:00:00Z",
            },
            "window",
            "member-invalid",
            "does not open from start",
        ),
        (
            {"stages": [{"count": 1}, {"percent": 1, "soak": "P2D"}]},
            "stages[1].soak",
            "member-invalid",
            (
                "P2D is longer than deadline.installing, P1D, and no stage soaks for less: "
                "shorten it, or lengthen the deadline"
            ),
        ),
        (
            {"stages": [{"percent": 1, "soak": "PT3H"}, {"percent": 100}], "deadline": {"installing": "PT2H"}},
            "stages[0].soak",
            "member-invalid",
            "PT3H is longer than deadline.installing, PT2H",
        ),
        (
            {"stages": "standard", "deadline": {"installing": "PT30M"}},
            "deadline.installing",
            "member-invalid",
            "PT30M is shorter than every soak of 'standard', the shortest is PT1H: lengthen it",
        ),
        ({"deadline": {"installing": "-P1D"}}, "deadline.installing", "member-invalid", "must not be negative"),
        ({"deadline": {"installing": "PT0S"}}, "deadline.installing", "member-invalid", "must be longer than zero"),
        ({"deadline": None}, "deadline", "member-type", "must be an object"),
        ({"attempts": {"max": 0}}, "attempts.max", "member-invalid", "must be 1 to 1,000"),
        ({"attempts": {"backoff": "-PT1M"}}, "attempts.backoff", "member-invalid", "must not be negative"),
        (
            {"limits": {"perMinute": 0}},
            "limits.perMinute",
            "member-invalid",
            f"{WITHIN}: leave it out for no limit",
        ),
        ({"limits": {"perMinute": 1.5}}, "limits.perMinute", "member-type", "must be a whole number"),
        (
            {"limits": {"inProgress": -1}},
            "limits.inProgress",
            "member-invalid",
            f"{WITHIN}: leave it out for no limit",
        ),
        ({"limits": {"claim": "PT0S"}}, "limits.claim", "member-invalid", "must be longer than zero"),
        ({"limits": []}, "limits", "member-type", "must be an object"),
        (
            {"limits": {"exponential": RAMP}},
            "limits.exponential",
            "member-invalid",
            "must say on what the rate grows: add one of notified and succeeded",
        ),
        (
            {"limits": {"exponential": {**RAMP, "notified": 1, "succeeded": 1}}},
            "limits.exponential.succeeded",
            "member-invalid",
            "stands beside notified: the rate grows on one of the two",
        ),
        (
            {"limits": {"perMinute": 5, "exponential": {**RAMP, "notified": 1}}},
            "limits.exponential.base",
            "member-invalid",
            "50 a minute is more than perMinute, 5: begin lower, or raise perMinute",
        ),
        (
            {"limits": {"exponential": {**RAMP, "factor": 1, "notified": 1}}},
            "limits.exponential.factor",
            "member-invalid",
            "must be above 1 and at most 100: 2 doubles the rate",
        ),
        (
            {"limits": {"exponential": {**RAMP, "base": 0, "notified": 1}}},
            "limits.exponential.base",
            "member-invalid",
            "must be 1 to 1,000,000,000 offers a minute",
        ),
        ({"window": {**NIGHT, "cron": "at night"}}, "window.cron", "window-invalid", ""),
        ({"window": {**NIGHT, "cron": 5}}, "window.cron", "member-type", "must be a string"),
        ({"window": {**NIGHT, "cron": "*" * 201}}, "window.cron", "member-invalid", "must have at most 200 characters"),
        ({"window": {**NIGHT, "timeZone": "M4rs/Base"}}, "window.timeZone", "window-invalid", ""),
        ({"window": {**NIGHT, "timeZone": None}}, "window.timeZone", "member-type", "must be a string"),
        ({"window": {**NIGHT, "duration": "PT0S"}}, "window.duration", "member-invalid", "must be longer than zero"),
        ({"window": {**NIGHT, "duration": "-PT1H"}}, "window.duration", "member-invalid", "must not be negative"),
        ({"window": {**NIGHT, "onClose": "stop"}}, "window.onClose", "member-invalid", "must be 'keep' or 'withdraw'"),
        ({"consent": "maybe"}, "consent", "member-invalid", "must be 'none' or 'required'"),
        ({"consent": True}, "consent", "member-invalid", "must be 'none' or 'required'"),
        ({"onFailure": "stop"}, "onFailure", "member-invalid", "must be 'pause', 'abort' or 'revert'"),
    ],
)
def test_what_contradicts_itself_is_refused_at_the_member(
    members: Mapping[str, object], path: str, code: str, sentence: str
) -> None:
    error = refused(members)
    assert error.code == code
    assert str(error).startswith(f"'{path}': {sentence}")


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"colour": 1}, "colour"),
        ({"limits": {"perHour": 1}}, "limits.perHour"),
        ({"deadline": {"downloading": "PT1H"}}, "deadline.downloading"),
        ({"window": {**NIGHT, "zone": "UTC"}}, "window.zone"),
    ],
)
def test_members_that_there_are_not_are_unknown(members: Mapping[str, object], path: str) -> None:
    error = refused(members)
    assert (error.code, str(error)) == ("member-unknown", f"the member '{path}' is unknown here")


@pytest.mark.parametrize("missing", ["cron", "duration"])
def test_a_window_needs_when_and_how_long(missing: str) -> None:
    error = refused({"window": {name: value for name, value in NIGHT.items() if name != missing}})
    assert (error.code, str(error)) == ("member-missing", f"the member 'window.{missing}' is required")


def test_an_application_has_two_of_the_limits() -> None:
    given = {"perMinute": "600", "inProgress": "null"}
    assert SharedLimitsBody.read(given, LIMITS).limits == Limits(per_minute=600)
    assert SharedLimitsBody.read({}, LIMITS).limits == UNLIMITED
    with pytest.raises(MemberError, match="'perHour' is unknown here"):
        SharedLimitsBody.read({"perHour": "1"}, LIMITS)


@pytest.mark.parametrize(("name", "text"), [("claim", '"PT1M"'), ("exponential", "null")])
def test_a_limit_that_only_rollouts_have_is_refused_with_the_place_where_it_belongs(name: str, text: str) -> None:
    with pytest.raises(MemberError) as caught:
        SharedLimitsBody.read({name: text}, LIMITS)
    sentence = f"belongs to a rollout, not to an application: put it into rollout.limits.{name} of its software"
    assert (caught.value.code, str(caught.value)) == ("member-unknown", f"'{name}': {sentence}")
