"""Standings leave out what cannot change the decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import shift
from orchestrator.domain.standings import Standing, plain, standing
from tests.unit.orchestrator.domain.builders import (
    DAY,
    HOUR,
    NOW,
    at,
    catalogue,
    endpoint,
    general,
    offer,
    targeted,
    use,
    v,
)

CATALOGUE = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), targeted("1.2.0", filters=[use("a")]))


def test_an_untouched_endpoint_stands_by_what_it_runs() -> None:
    assert standing(endpoint("1.0.0"), CATALOGUE, NOW) == at("1.0.0")
    assert hash(standing(endpoint("1.0.0"), CATALOGUE, NOW)) == hash(at("1.0.0"))


@pytest.mark.parametrize("running", [None, "1.0.0"])
@pytest.mark.parametrize("state", AttemptState)
def test_what_a_plain_endpoint_runs_is_its_standing(running: str | None, state: AttemptState) -> None:
    one = endpoint(running, replace(offer(), state=state))
    assert plain(one) == (state is not AttemptState.SOAKING)
    if plain(one):
        assert standing(one, CATALOGUE, NOW) == Standing(running=one.running)


@pytest.mark.parametrize(
    "particular",
    [
        replace(endpoint(), setbacks={v("1.1.0"): Setback(failures=3, exhausted=True)}),
        replace(endpoint(), filters=frozenset({"a"})),
        replace(endpoint(), pinned=v("1.1.0")),
        replace(endpoint(), token_state=TokenState.SUSPENDED),
        replace(endpoint(), token_state=TokenState.REVOKED),
    ],
)
def test_an_endpoint_with_anything_particular_is_not_plain(particular: Endpoint) -> None:
    assert standing(particular, CATALOGUE, NOW) != Standing(running=particular.running)
    assert not plain(particular)


def test_instants_and_history_do_not_tell_endpoints_apart() -> None:
    seen = replace(endpoint("1.0.0+b", offer()), last_seen_at=NOW, running_since=NOW, observe=False)
    assert standing(seen, CATALOGUE, NOW) == at("1.0.0")


def test_filters_that_no_software_lists_are_left_out() -> None:
    found = standing(replace(endpoint(), filters=frozenset({"a", "b"})), CATALOGUE, NOW)
    assert found.filters == {"a"}


def test_only_failures_of_defined_versions_and_pending_back_offs_count() -> None:
    setbacks = {
        v("1.2.0"): Setback(failures=1, retry_at=NOW + DAY),
        v("1.1.0"): Setback(failures=1, retry_at=NOW + HOUR),
        v("1.0.0"): Setback(failures=3, exhausted=True),
        v("3.0.0"): Setback(failures=3, exhausted=True),
        v("4.0.0"): Setback(failures=1, retry_at=NOW + HOUR),
    }
    found = standing(replace(endpoint(), setbacks=setbacks), CATALOGUE, NOW)
    assert found.exhausted == {v("1.0.0")}
    assert found.retry_at == ((v("1.1.0"), NOW + HOUR), (v("1.2.0"), NOW + DAY))
    assert standing(replace(endpoint(), setbacks=setbacks), CATALOGUE, NOW + HOUR).retry_at == (
        (v("1.2.0"), NOW + DAY),
    )


@pytest.mark.parametrize("state", TokenState)
def test_only_an_active_token_is_good(state: TokenState) -> None:
    found = standing(replace(endpoint(), token_state=state), CATALOGUE, NOW)
    assert found.active == (state is TokenState.ACTIVE)


def test_a_soaking_attempt_and_the_pin_are_kept() -> None:
    soaking = replace(offer(), state=AttemptState.SOAKING)
    found = standing(replace(endpoint(attempt=soaking), pinned=v("1.0.0")), CATALOGUE, NOW)
    assert (found.soaking, found.pinned) == (v("1.1.0"), v("1.0.0"))


def test_whom_stages_do_not_admit_yet_is_told_by_its_cohort_and_its_filters() -> None:
    first = replace(general("1.0.0"), policy=RolloutPolicy(stages=(Stage(percent=10), Stage(percent=100))))
    lab = replace(general("1.1.0"), policy=RolloutPolicy(stages=(Stage(filter_id="lab"), Stage(percent=100))))
    staged = Catalogue.of([first, lab, general("1.2.0")], application="kettle")
    lowest = -shift("kettle", v("1.0.0")) % 1_000_000
    assert standing(replace(endpoint(), cohort=lowest), staged, NOW).held == 0b010
    outside = replace(endpoint(), cohort=(lowest + 100_000) % 1_000_000)
    assert standing(outside, staged, NOW).held == 0b011
    assert standing(replace(outside, filters=frozenset({"lab"})), staged, NOW).held == 0b001
    assert standing(outside, CATALOGUE, NOW).held == 0


def test_a_time_zone_counts_only_where_a_window_is_in_the_endpoints_own() -> None:
    one = replace(endpoint(), zone="Europe/Berlin")
    assert standing(one, CATALOGUE, NOW).zone is None
    window = Window(cron="0 1 * * *", duration=HOUR, time_zone=None)
    zoned = catalogue(replace(general("1.1.0"), policy=RolloutPolicy(window=window)))
    assert standing(one, zoned, NOW).zone == "Europe/Berlin"


def test_consents_count_only_where_somebody_asks_and_for_what_is_defined() -> None:
    said = {
        v("1.1.0"): Consent(granted=True, at=NOW),
        v("1.2.0"): Consent(granted=False, at=NOW),
        v("9.0.0"): Consent(granted=True, at=NOW),
    }
    one = replace(endpoint("1.0.0"), consents=said)
    assert standing(one, CATALOGUE, NOW) == at("1.0.0")
    assert not plain(one)
    asking = Catalogue.of(CATALOGUE.software, consent=True)
    assert standing(one, asking, NOW) == replace(
        at("1.0.0"), consented=frozenset({v("1.1.0")}), refused=frozenset({v("1.2.0")})
    )
