"""The state of a rollout as a text: nothing is lost, and nothing is written of what has not begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.records import RolloutStatus, StageMark
from orchestrator.domain.rollouts import STARTED, Phase, Rollout
from orchestrator.persistence import rollouts

amounts = st.integers(0, 1_000_000_000)
instants = st.integers(0, 4_000_000_000_000).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, 0, ms))
texts = st.text(st.characters(codec="utf-8"), max_size=20)
states = st.builds(
    Rollout,
    phase=st.sampled_from(Phase),
    stage=st.integers(0, 20),
    members=st.lists(st.frozensets(st.integers(1, 1_000_000), max_size=5), max_size=5).map(tuple),
)
marks = st.builds(
    StageMark,
    acknowledged=amounts,
    acknowledged_unhealthy=amounts,
    passed_at=st.none() | instants,
    endpoints=st.none() | amounts,
    failures=amounts,
    reverted=amounts,
)
statuses = st.builds(
    RolloutStatus,
    since=st.none() | instants,
    by=st.none() | texts,
    reason=st.none() | texts,
    marks=st.lists(marks, max_size=4).map(tuple),
)


@given(rollout=states, status=statuses)
def test_build_and_parse_are_inverse(rollout: Rollout, status: RolloutStatus) -> None:
    assert rollouts.parse(rollouts.build(rollout, status)) == (rollout, status)


def test_a_rollout_that_nothing_has_happened_to_is_no_text() -> None:
    assert rollouts.build(STARTED, RolloutStatus()) is None
    assert rollouts.parse(None) == (STARTED, RolloutStatus())
    assert rollouts.build(Rollout(members=(frozenset({1}),)), RolloutStatus()) is not None
    assert rollouts.build(STARTED, RolloutStatus(by="anna")) is not None


def test_the_failures_that_a_finished_rollout_had_are_kept() -> None:
    text = rollouts.build(Rollout(phase=Phase.FINISHED), RolloutStatus(marks=(StageMark(failures=2, reverted=1),)))
    assert '"endpoints":null,"failures":2,"reverted":1}' in (text or "")


def test_the_text_is_what_databases_hold() -> None:
    """A member that changes makes every database lie."""
    text = rollouts.build(
        Rollout(phase=Phase.WAITING_APPROVAL, stage=1, members=(frozenset({20, 10}), frozenset())),
        RolloutStatus(
            since=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
            by="anna",
            reason="why",
            marks=(StageMark(acknowledged=1, acknowledged_unhealthy=2, endpoints=3),),
        ),
    )
    assert text == (
        '{"phase":"waiting-approval","stage":1,"members":[[10,20],[]],"sinceMs":1000,"by":"anna","reason":"why",'
        '"marks":[{"acknowledged":1,"unhealthy":2,"passedMs":null,"endpoints":3,"failures":0,"reverted":0}]}'
    )


def test_a_text_from_before_members_were_known_has_none() -> None:
    text = '{"phase":"running","stage":1,"limits":[10,20],"sinceMs":null,"by":"otao","reason":null,"marks":[]}'
    assert rollouts.parse(text)[0] == Rollout(stage=1)
    text = '{"phase":"finished","stage":0,"members":[],"sinceMs":null,"by":null,"reason":null,"marks":[MARK]}'
    mark = '{"acknowledged":0,"unhealthy":0,"passedMs":null,"endpoints":3}'
    # How many failures it had when it finished was not noted.
    assert rollouts.parse(text.replace("MARK", mark))[1].marks == (StageMark(endpoints=3, failures=None),)
