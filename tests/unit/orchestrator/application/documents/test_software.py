from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.application.documents import software, texts
from orchestrator.application.documents.rollouts import RolloutBody
from orchestrator.application.problems import MemberError
from orchestrator.application.records import SoftwareRecord
from orchestrator.domain.policies import DEFAULT_POLICY, Attempts
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Version
from protocol import payloads
from protocol.errors import PayloadError, TextError
from tests.unit.orchestrator.application.desks import LIMITS, definition

EIGHT = datetime(2026, 12, 1, 8, tzinfo=UTC)


def refused(text: str) -> MemberError:
    with pytest.raises(MemberError) as caught:
        definition(text)
    return caught.value


def test_only_the_strategy_is_required() -> None:
    given = definition('{"rolloutStrategy":"suspended"}')
    assert given == software.Definition(
        upgradable_from=(),
        strategy=Strategy.SUSPENDED,
        filters=(),
        specification=None,
        metadata="{}",
        rollout=None,
        policy=DEFAULT_POLICY,
        rollout_date=None,
    )
    assert refused("{}").code == "member-missing"


def test_every_member_is_read() -> None:
    given = definition(
        """{"rolloutStrategy": "targeted", "upgradableFrom": ["1.0.0", "^1.4", "*"],
            "filters": [{"filterId": "canary", "rolloutDate": "2026-12-01T10:00:00+02:00"}, {"filterId": "field"}],
            "rollout": {"start": "2026-12-01T08:00:00Z", "attempts": {"max": 5, "backoff": "PT1M", "returns": 9},
                        "deadline": {"installing": "PT2H"}},
            "specification": [1.10, null], "metadata": {"releaseNotes": "…"}}"""
    )
    assert [item.text for item in given.upgradable_from] == ["1.0.0", "^1.4", "*"]
    assert given.filters == (FilterUse(filter_id="canary", rollout_date=EIGHT), FilterUse(filter_id="field"))
    assert given.policy.attempts == Attempts(max=5, backoff=timedelta(minutes=1), returns=9)
    assert given.policy.installing == timedelta(hours=2)
    assert given.rollout_date == EIGHT
    assert given.specification == "[1.10,null]"
    assert given.rollout == (
        '{"start":"2026-12-01T08:00:00Z","attempts":{"max":5,"backoff":"PT1M","returns":9},'
        '"deadline":{"installing":"PT2H"}}'
    )


@pytest.mark.parametrize("text", ["false", "0", '""', "[]", "{}", '"null"'])
def test_a_specification_of_any_type_is_one(text: str) -> None:
    given = definition(f'{{"rolloutStrategy":"general","specification":{text}}}')
    assert given.specification == text


@pytest.mark.parametrize(
    "body", ['{"rolloutStrategy":"general","specification":null}', '{"rolloutStrategy":"general"}']
)
def test_null_and_absence_are_no_specification(body: str) -> None:
    assert definition(body).specification is None


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ('"colour":1', "member-unknown"),
        ('"upgradableFrom":"1.0.0"', "member-type"),
        ('"upgradableFrom":[1]', "member-type"),
        ('"upgradableFrom":null', "member-type"),
        ('"filters":[{"filterId":"a"},{"filterId":"a"}]', "member-invalid"),
        ('"filters":[{}]', "member-missing"),
        ('"filters":[{"filterId":"a b"}]', "member-invalid"),
        ('"filters":[{"filterId":"a","rolloutDate":"soon"}]', "member-invalid"),
        ('"filters":[{"filterId":"a","rolloutDate":1}]', "member-type"),
        ('"filters":[{"filterId":"a","ring":1}]', "member-unknown"),
        ('"metadata":[]', "member-invalid"),
        ('"metadata":null', "member-invalid"),
        ('"rollout":[]', "member-type"),
        ('"rollout":{"start":"2026-12-01"}', "member-invalid"),
        ('"rollout":{"attempts":{"max":0}}', "member-invalid"),
        ('"rollout":{"attempts":{"max":1.0}}', "member-type"),
        ('"rollout":{"attempts":{"max":true}}', "member-type"),
        ('"rollout":{"attempts":{"backoff":"P1Y"}}', "member-invalid"),
        ('"rollout":{"deadline":{"installing":"PT0S"}}', "member-invalid"),
    ],
)
def test_what_is_wrong_is_refused_by_name(members: str, code: str) -> None:
    error = refused(f'{{"rolloutStrategy":"general",{members}}}')
    assert error.code == code
    assert members.split('"')[1] in str(error)


@pytest.mark.parametrize("strategy", ['"Suspended"', '"all"', "1", "null", '["general"]'])
def test_the_strategy_is_one_of_three(strategy: str) -> None:
    assert refused(f'{{"rolloutStrategy":{strategy}}}').code in {"member-invalid", "member-type"}


def test_a_range_that_npm_does_not_know_is_refused_with_the_codes_of_the_domain() -> None:
    assert refused('{"rolloutStrategy":"general","upgradableFrom":["1.0.0","=>1"]}').code == "invalid-constraint"


@pytest.mark.parametrize("members", ['"stages":"standard"', '"limits":{"perMinute":5}', '"onFailure":"pause"', ""])
def test_a_rollout_keeps_its_text_and_gives_its_policy(members: str) -> None:
    given = definition(f'{{"rolloutStrategy":"general","rollout":{{{members}}}}}')
    assert given.rollout == f"{{{members}}}"
    read = payloads.members(f"{{{members}}}", LIMITS)
    assert given.policy == RolloutBody.read(read, LIMITS).policy


def test_what_a_rollout_does_not_have_is_unknown_like_any_other_member() -> None:
    error = refused('{"rolloutStrategy":"general","rollout":{"strategy":"x"}}')
    assert (error.code, str(error)) == ("member-unknown", "the member 'rollout.strategy' is unknown here")


def test_a_contradiction_in_a_rollout_has_its_path_in_the_software() -> None:
    stages = '[{"percent":20},{"percent":10}]'
    error = refused(f'{{"rolloutStrategy":"general","rollout":{{"stages":{stages}}}}}')
    assert str(error).startswith("'rollout.stages[1].percent': must be above the 20 of stage 1")


def test_texts_that_cannot_be_stored_are_refused() -> None:
    with pytest.raises(TextError):
        definition('{"rolloutStrategy":"general","filters":[{"filterId":"\\u0000"}]}')


def test_no_error_quotes_a_specification() -> None:
    body = '{"rolloutStrategy":"general","specification":{"password":"s3cret"},"rollout":{"attempts":{"max":"s3cret"}}}'
    assert "s3cret" not in str(refused(body))
    assert "s3cret" not in repr(definition(body.replace('"rollout":{"attempts":{"max":"s3cret"}}', '"filters":[]')))


def test_duplicate_members_are_refused_at_any_depth() -> None:
    for body in ('{"a":1,"a":1}', '{"rolloutStrategy":"general","specification":{"a":1,"a":2}}'):
        with pytest.raises(PayloadError):
            definition(body)


def test_what_is_built_is_read_back() -> None:
    text = (
        '{"upgradableFrom":["^1.4"],"rolloutStrategy":"targeted",'
        '"filters":[{"filterId":"canary","rolloutDate":"2026-12-01T08:00:00Z"}],'
        '"rollout":{"attempts":{"max":2}},"specification":{"b":1.10,"a":"\\u00e9"},"metadata":{"z":1.0}}'
    )
    given = definition(text)
    version = Version.parse("1.5.0")
    record = SoftwareRecord(
        software=Software(
            version=version,
            upgradable_from=given.upgradable_from,
            strategy=given.strategy,
            filters=given.filters,
            policy=given.policy,
        ),
        specification=given.specification,
        metadata=given.metadata,
        rollout=given.rollout,
        upgradable_from=tuple(item.text for item in given.upgradable_from),
        offered_at=None,
        revision=1,
        created_at=EIGHT,
        updated_at=EIGHT,
    )
    members = texts.build_members(software.build(record))
    editable = {name: item for name, item in members.items() if name not in software.READ_ONLY}
    assert software.read(editable, LIMITS) == given
    assert payloads.members(text, LIMITS) == editable
    assert members["recalledAt"] == "null"
