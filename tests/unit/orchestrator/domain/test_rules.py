"""Every rule by its name, with the values that it compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import rules
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.endpoints import Consent
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import (
    HOUR,
    NOW,
    at,
    catalogue,
    endpoint,
    general,
    recalled,
    suspended,
    targeted,
    use,
    v,
)

if TYPE_CHECKING:
    from orchestrator.domain.software import Software
    from orchestrator.domain.standings import Standing

NAMES = (
    "strategy",
    "recall",
    "abort",
    "end",
    "specification",
    "filters",
    "exhaustion",
    "pin",
    "freeze",
    "rollout",
    "stage",
    "rolloutDate",
    "window",
    "backOff",
    "soak",
    "consent",
    "limits",
    "edge",
)


def judged(standing: Standing, *software: Software) -> dict[str, rules.SoftwareVerdict]:
    return {verdict.version.text: verdict for verdict in rules.verdicts(standing, catalogue(*software), NOW)}


def failures(verdict: rules.SoftwareVerdict) -> dict[str, str]:
    return {rule.rule: rule.detail for rule in verdict.rules if not rule.passed}


def test_every_rule_is_named_in_one_order_the_highest_version_first() -> None:
    found = judged(at("1.0.0"), general("1.0.0"), general("1.1.0", "1.0.0"))
    assert list(found) == ["1.1.0", "1.0.0"]
    assert all(tuple(rule.rule for rule in verdict.rules) == NAMES for verdict in found.values())
    assert failures(found["1.1.0"]) == {}
    assert (found["1.1.0"].eligible, found["1.1.0"].open, found["1.1.0"].reachable) == (True, True, True)
    assert failures(found["1.0.0"]) == {"edge": "the endpoint runs it"}
    assert not found["1.0.0"].reachable


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (suspended("1.1.0", "1.0.0"), {"strategy": "suspended"}),
        (recalled("1.1.0", "1.0.0"), {"recall": "recalled at 2026-02-28T12:00:00Z"}),
        (
            replace(general("1.1.0", "1.0.0"), rollout=Rollout(phase=Phase.ABORTED)),
            {"abort": "the rollout is aborted"},
        ),
        (general("1.1.0", "1.0.0", given=False), {"specification": "absent or null"}),
        (targeted("1.1.0", "1.0.0"), {"filters": "lists none; the endpoint matches none"}),
        (
            targeted("1.1.0", "1.0.0", filters=[use("a"), use("b")]),
            {"filters": "lists a, b; the endpoint matches none"},
        ),
    ],
)
def test_what_is_not_eligible_says_which_rule_and_which_value(item: Software, expected: dict[str, str]) -> None:
    verdict = judged(at("1.0.0", filters=["c"]), item)["1.1.0"]
    assert failures(verdict) == expected
    assert not verdict.eligible
    assert not verdict.open
    assert verdict.reachable


def test_exhaustion_bars_and_back_off_delays() -> None:
    standing = replace(at("1.0.0"), exhausted=frozenset({v("1.1.0")}), retry_at=((v("1.2.0"), NOW + HOUR),))
    found = judged(standing, general("1.1.0", "1.0.0"), general("1.2.0", "1.0.0"))
    assert failures(found["1.1.0"]) == {"exhaustion": "3 attempts failed"}
    assert not found["1.1.0"].eligible
    assert failures(found["1.2.0"]) == {"backOff": "until 2026-03-01T13:00:00Z"}
    assert (found["1.2.0"].eligible, found["1.2.0"].open) == (True, False)


def test_a_date_opens_at_its_instant() -> None:
    found = judged(at("1.0.0"), general("1.1.0", rollout_date=NOW), general("1.2.0", rollout_date=NOW + HOUR))
    assert found["1.1.0"].open
    assert failures(found["1.2.0"])["rolloutDate"] == "2026-03-01T13:00:00Z; now 2026-03-01T12:00:00Z"


def test_only_the_dates_of_matching_filters_count() -> None:
    item = targeted("1.1.0", "1.0.0", filters=[use("a", NOW - HOUR), use("b", NOW + HOUR)])
    assert judged(at("1.0.0", filters=["a", "b"]), item)["1.1.0"].open
    late = judged(at("1.0.0", filters=["b"]), item)["1.1.0"]
    assert (late.eligible, late.open) == (True, False)


def test_a_pin_sets_filters_and_dates_aside_and_bars_what_leads_elsewhere() -> None:
    found = judged(
        at("1.0.0", pinned="1.2.0"),
        targeted("1.1.0", "1.0.0", filters=[use("a", NOW + HOUR)]),
        general("1.2.0", "1.1.0", rollout_date=NOW + HOUR),
        general("1.3.0", "1.0.0"),
    )
    assert found["1.1.0"].open
    assert found["1.2.0"].open
    assert failures(found["1.3.0"]) == {"pin": "pinned to 1.2.0; on no way to it"}


@pytest.mark.parametrize("pinned", [None, "1.2.0", "1.3.0"])
def test_one_software_fails_the_rules_that_it_fails_among_all(
    pinned: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    software = catalogue(
        suspended("1.1.0", "1.0.0"),
        general("1.2.0", "1.0.0", rollout_date=NOW + HOUR),
        targeted("1.3.0", "1.2.0", filters=[use("a")]),
    )
    standing = replace(at("1.0.0", pinned=pinned), retry_at=((v("1.2.0"), NOW + HOUR),))
    expected = {verdict.version: {*failures(verdict)} - {"edge"} for verdict in rules.verdicts(standing, software, NOW)}
    # A sweep asks for each endpoint whose offer ends: what it costs is not to grow with the catalogue.
    monkeypatch.setattr(rules, "verdicts", None)
    found = {item.version: set(rules.failed(item, standing, software, NOW)) for item in software.software}
    assert found == expected


@pytest.mark.parametrize("item", [suspended("1.1.0", "1.0.0"), recalled("1.1.0", "1.0.0")])
def test_a_pin_never_overrides_a_stop(item: Software) -> None:
    assert not judged(at("1.0.0", pinned="1.1.0"), item)["1.1.0"].eligible


def test_a_soak_holds_everything_but_a_rescue() -> None:
    soaking = replace(at("1.0.0"), soaking=v("1.0.0"))
    held = judged(soaking, general("1.0.0"), general("1.1.0", "1.0.0"))["1.1.0"]
    assert failures(held) == {"soak": "soaks on 1.0.0"}
    assert judged(soaking, recalled("1.0.0"), general("1.1.0", "1.0.0"))["1.1.0"].open


STAGED = replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(stages=(Stage(percent=1), Stage(percent=100))))
CLOSED = Window(cron="0 20 * * *", duration=4 * HOUR)


def detail(verdict: rules.SoftwareVerdict, name: str) -> str:
    (rule,) = [rule for rule in verdict.rules if rule.rule == name]
    return rule.detail


@pytest.mark.parametrize(
    ("item", "rule", "said"),
    [
        (replace(general("1.1.0", "1.0.0"), rollout=Rollout(phase=Phase.PAUSED)), "rollout", "paused"),
        (STAGED, "stage", "stage 1 does not admit the endpoint yet"),
        (
            replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(window=CLOSED)),
            "window",
            "closed until 2026-03-01T20:00:00Z",
        ),
    ],
)
def test_what_a_rollout_keeps_closed_says_by_which_rule(item: Software, rule: str, said: str) -> None:
    verdict = judged(replace(at("1.0.0"), held=1), item)["1.1.0"]
    assert failures(verdict) == {rule: said}
    assert (verdict.eligible, verdict.open) == (True, False)


def test_what_has_ended_is_not_eligible_and_says_since_when() -> None:
    ended = replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(end=NOW))
    verdict = judged(at("1.0.0"), ended)["1.1.0"]
    assert failures(verdict) == {"end": "over: rollout.end is 2026-03-01T12:00:00Z; now 2026-03-01T12:00:00Z"}
    assert (verdict.eligible, verdict.open) == (False, False)


def test_what_a_rollout_does_not_keep_closed_says_so_too() -> None:
    opened = Window(cron="0 11 * * *", duration=4 * HOUR)
    policy = replace(STAGED.policy, window=opened, end=NOW + HOUR)
    verdict = judged(at("1.0.0"), replace(STAGED, policy=policy))["1.1.0"]
    assert verdict.open
    assert {name: detail(verdict, name) for name in ("rollout", "stage", "end", "window")} == {
        "rollout": "running",
        "stage": "stage 1 admits the endpoint",
        "end": "rollout.end is 2026-03-01T13:00:00Z; now 2026-03-01T12:00:00Z",
        "window": "open until 2026-03-01T15:00:00Z",
    }
    plain = judged(at("1.0.0"), general("1.1.0", "1.0.0"))["1.1.0"]
    assert {name: detail(plain, name) for name in ("abort", "rollout", "stage", "end", "window")} == {
        "abort": "not aborted",
        "rollout": "running",
        "stage": "for every endpoint",
        "end": "none",
        "window": "none",
    }


def test_a_window_that_never_closes_says_so() -> None:
    always = Window(cron="* * * * *", duration=HOUR)
    verdict = judged(at("1.0.0"), replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(window=always)))["1.1.0"]
    assert detail(verdict, "window") == "open for good"


def test_a_pin_and_a_rescue_set_stages_and_windows_aside_and_say_so() -> None:
    item = replace(STAGED, policy=replace(STAGED.policy, window=CLOSED))
    pinned = judged(replace(at("1.0.0", pinned="1.1.0"), held=1), item)["1.1.0"]
    assert pinned.open
    assert detail(pinned, "stage") == "set aside by the pin; stage 1 does not admit the endpoint yet"
    assert detail(pinned, "window") == "set aside by the pin; closed until 2026-03-01T20:00:00Z"
    rescued = judged(replace(at("1.0.0"), held=0b10), recalled("1.0.0"), item)["1.1.0"]
    assert rescued.open
    assert detail(rescued, "stage") == "set aside by the recall of what runs; stage 1 does not admit the endpoint yet"
    assert detail(rescued, "window") == "set aside by the recall of what runs; closed until 2026-03-01T20:00:00Z"


@pytest.mark.parametrize(
    ("standing", "kept"),
    [(at("1.0.0", pinned="1.1.0"), {"rollout"}), (replace(at("1.0.0"), held=1), {"rollout", "end"})],
)
def test_neither_a_pin_nor_a_rescue_sets_a_pause_aside_and_a_rescue_no_end(standing: Standing, kept: set[str]) -> None:
    item = replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(end=NOW), rollout=Rollout(phase=Phase.PAUSED))
    verdict = judged(standing, recalled("1.0.0"), item)["1.1.0"]
    assert failures(verdict).keys() == kept


def test_the_edge_rule_quotes_the_constraints() -> None:
    found = judged(at("1.0.0"), general("1.1.0", "^2.0.0", "0.9.0"), general("1.2.0"))
    assert failures(found["1.1.0"])["edge"] == "1.0.0 does not match ^2.0.0 or 0.9.0"
    assert failures(found["1.2.0"])["edge"] == "it is upgradable from nothing"
    unknown = judged(at(None), general("1.1.0", "1.0.0"))["1.1.0"]
    assert failures(unknown)["edge"] == "an unknown version does not match 1.0.0"


def test_reachable_looks_through_eligible_software_only() -> None:
    found = judged(
        at("1.0.0"), general("1.1.0", "1.0.0"), suspended("1.2.0", "1.1.0"), general("1.3.0", "1.2.0"), general("1.4.0")
    )
    assert {name: verdict.reachable for name, verdict in found.items()} == {
        "1.1.0": True,
        "1.2.0": True,
        "1.3.0": False,
        "1.4.0": False,
    }


def test_instants_are_written_in_utc_to_the_second() -> None:
    moment = NOW.astimezone(timezone(timedelta(hours=5))) + timedelta(microseconds=5)
    assert rules.instant(moment) == "2026-03-01T12:00:00Z"


def test_consent_opens_what_it_was_given_to_and_nothing_else() -> None:
    asking = Catalogue.of([general("1.1.0", "1.0.0"), general("1.2.0", "1.0.0"), general("1.3.0")], consent=True)
    standing = replace(at("1.0.0"), consented=frozenset({v("1.1.0")}), refused=frozenset({v("1.2.0")}))
    found = {verdict.version.text: verdict for verdict in rules.verdicts(standing, asking, NOW)}
    assert failures(found["1.1.0"]) == {}
    assert failures(found["1.2.0"]) == {"consent": "refused"}
    assert failures(found["1.3.0"])["consent"] == "not given"
    assert (found["1.2.0"].eligible, found["1.2.0"].open) == (True, False)


def test_a_pin_needs_consent_and_a_rescue_does_not() -> None:
    asking = Catalogue.of([recalled("1.0.0"), general("1.1.0", "1.0.0"), general("1.2.0", "1.1.0")], consent=True)
    rescue = rules.verdicts(at("1.0.0"), asking, NOW)[1]
    assert failures(rescue) == {}
    pinned = rules.verdicts(at("1.1.0", pinned="1.2.0"), asking, NOW)[0]
    assert failures(pinned) == {"consent": "not given"}


def test_a_rollout_says_itself_whether_it_needs_consent() -> None:
    free = replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(consent=False))
    asked = replace(general("1.2.0", "1.0.0"), policy=RolloutPolicy(consent=True))
    for consent in (True, False):
        found = rules.verdicts(at("1.0.0"), Catalogue.of([free, asked], consent=consent), NOW)
        assert [verdict.open for verdict in found] == [False, True]
        made = Catalogue.of([free, asked], consent=consent)
        assert rules.consented_to(v("1.1.0"), endpoint("1.0.0"), made)
        assert not rules.consented_to(v("1.2.0"), endpoint("1.0.0"), made)


def test_what_an_endpoint_was_asked_about_is_told_for_one_version() -> None:
    asking = Catalogue.of([recalled("1.0.0"), general("1.1.0", "1.0.0")], consent=True)
    said = {v("1.1.0"): Consent(granted=True, at=NOW), v("1.2.0"): Consent(granted=False, at=NOW)}
    asked = replace(endpoint("1.1.0"), consents=said)
    assert rules.consented_to(v("1.1.0"), asked, asking)
    assert not rules.consented_to(v("1.2.0"), asked, asking)
    assert not rules.consented_to(v("1.3.0"), asked, asking)
    assert rules.consented_to(v("1.3.0"), endpoint("1.0.0"), asking)
    assert rules.consented_to(v("1.3.0"), asked, Catalogue.of([general("1.3.0")]))
