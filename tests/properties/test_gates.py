"""Gates answer whatever they are asked, and never the wrong way round."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given
from hypothesis import strategies as st

from orchestrator.domain.gates import Size, Tally, Verdict, bounds, judge
from orchestrator.domain.policies import Stage

AMOUNT = st.one_of(st.integers(0, 5), st.integers(0, 200), st.integers(0, 1_000_000))
RATE = st.one_of(st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0]), st.floats(0, 1))
SAMPLE = st.one_of(st.just(1), st.integers(1, 100), st.integers(1, 100_000))


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    offered = draw(AMOUNT)
    soaking, confirmed, reverted = draw(AMOUNT), draw(AMOUNT), draw(AMOUNT)
    return Tally(
        offered=offered,
        installing=draw(AMOUNT),
        unreached=draw(st.one_of(st.just(offered), st.integers(0, offered))),
        soaking=soaking,
        confirmed=confirmed,
        failed=draw(AMOUNT),
        reverted=reverted,
        expired=draw(AMOUNT),
        withdrawn=draw(AMOUNT),
        unhealthy=draw(st.integers(0, soaking + confirmed + reverted)),
    )


stages = st.builds(
    Stage,
    percent=st.just(1.0),
    max_failure_rate=RATE,
    min_attempted=SAMPLE,
    max_unhealthy_rate=st.one_of(st.none(), RATE),
    approval=st.booleans(),
)
sizes = st.one_of(
    st.none(),
    st.builds(
        lambda waiting, left, others: Size(endpoints=waiting + left + others, waiting=waiting, left=left),
        AMOUNT,
        AMOUNT,
        AMOUNT,
    ),
    st.builds(Size, endpoints=AMOUNT, waiting=st.just(0)),
)


@given(stage=stages, tally=tallies(), size=sizes, acknowledged=AMOUNT, unhealthy=AMOUNT)
def test_every_stage_has_one_ruling_that_its_numbers_bear_out(
    stage: Stage, tally: Tally, size: Size | None, acknowledged: int, unhealthy: int
) -> None:
    ruling = judge(stage, tally, size, acknowledged=acknowledged, acknowledged_unhealthy=unhealthy)
    event(ruling.verdict.value)
    assert ruling.reason
    assert 0 <= ruling.failures <= ruling.settled
    assert ruling.settled - ruling.failures == tally.confirmed
    assert 1 <= ruling.needed <= stage.sample
    assert (ruling.rate is None) == (ruling.bounds is None) == (ruling.settled == 0)
    if ruling.rate is not None and ruling.bounds is not None:
        lower, upper = ruling.bounds
        assert 0 <= lower <= ruling.rate <= upper <= 1
    if ruling.verdict is Verdict.PASSES:
        assert ruling.settled >= ruling.needed
        assert ruling.rate is not None
        assert ruling.rate <= stage.max_failure_rate
    if ruling.verdict is Verdict.FAILS and stage.max_unhealthy_rate is None:
        assert ruling.rate is not None
        assert ruling.rate > stage.max_failure_rate


@given(stage=stages, tally=tallies(), size=sizes, more=st.integers(1, 1000))
def test_more_failures_never_turn_a_failed_stage_into_a_passed_one(
    stage: Stage, tally: Tally, size: Size | None, more: int
) -> None:
    before = judge(stage, tally, size)
    for worse in (
        replace(tally, failed=tally.failed + more),
        replace(tally, expired=tally.expired + more),
        # a confirmed one turns out to fall back
        replace(tally, confirmed=max(0, tally.confirmed - more), reverted=tally.reverted + min(more, tally.confirmed)),
    ):
        after = judge(stage, worse, size)
        event(f"{before.verdict.value} → {after.verdict.value}")
        if before.verdict is Verdict.FAILS:
            assert after.verdict is not Verdict.PASSES


@given(stage=stages, tally=tallies(), size=sizes, more=st.integers(1, 1000))
def test_more_that_confirm_never_fail_a_stage_that_passed(
    stage: Stage, tally: Tally, size: Size | None, more: int
) -> None:
    if judge(stage, tally, size).verdict is Verdict.PASSES:
        assert judge(stage, replace(tally, confirmed=tally.confirmed + more), size).verdict is Verdict.PASSES


@given(stage=stages, tally=tallies(), size=sizes, more=st.integers(1, 1000))
def test_endpoints_that_are_not_heard_change_no_verdict(
    stage: Stage, tally: Tally, size: Size | None, more: int
) -> None:
    silent = replace(tally, offered=tally.offered + more, unreached=tally.unreached + more)
    assert judge(stage, silent, size).verdict is judge(stage, tally, size).verdict


@given(settled=st.integers(1, 1_000_000), share=st.floats(0, 1))
def test_bounds_enclose_the_rate_and_mirror(settled: int, share: float) -> None:
    failed = round(settled * share)
    lower, upper = bounds(failed, settled)
    assert 0 <= lower <= failed / settled <= upper <= 1
    if failed < settled:
        assert bounds(failed + 1, settled)[0] > lower
    mirrored = bounds(settled - failed, settled)
    assert abs(mirrored[0] - (1 - upper)) < 1e-9
    assert abs(mirrored[1] - (1 - lower)) < 1e-9
