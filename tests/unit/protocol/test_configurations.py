from __future__ import annotations

import pytest

from protocol import configurations, topics
from protocol.configurations import ErrorAnswer, Offer, Profile, Unassigned, Unchanged
from protocol.errors import EmptyOfferError, PayloadError
from protocol.topics import Instances

ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/applied/json/42", Instances())


@pytest.mark.parametrize(
    ("status_code", "succeeded"), [(199, False), (200, True), (204, True), (299, True), (300, False), (507, False)]
)
def test_only_2xx_is_success(status_code: int, *, succeeded: bool) -> None:
    payload = configurations.encode_applied(config_id="1.0.0", status_code=status_code)
    assert configurations.decode_applied(ADDRESS, payload).succeeded is succeeded


def test_long_reasons_are_cut() -> None:
    payload = configurations.encode_applied(config_id="1.0.0", reason_phrase="x" * 600)
    assert configurations.decode_applied(ADDRESS, payload).reason_phrase == "x" * 500


@pytest.mark.parametrize("profile", list(Profile))
def test_a_specification_is_delivered_as_it_was_given(profile: Profile) -> None:
    raw = '{"z": 1.10, "a":[1e400,\n"\\ud800\\/é"]}'
    payload = configurations.offer("1.1.0", raw, profile)
    assert raw.encode() in payload
    assert configurations.decode_answer(payload) == Offer(config_id="1.1.0", specification=raw)


@pytest.mark.parametrize("raw", ["", " ", "null", " null\n"])
@pytest.mark.parametrize("profile", list(Profile))
def test_an_offer_without_a_specification_is_not_written(raw: str, profile: Profile) -> None:
    with pytest.raises(EmptyOfferError):
        configurations.offer("1.1.0", raw, profile)


@pytest.mark.parametrize(
    ("asked", "running", "answer"),
    [
        ("1.0.0", "1.0.0", Unchanged()),
        ("1.0.0", "1.1.0", Unassigned()),
        ("1.0.0", None, Unassigned()),
        (None, "1.0.0", Unassigned()),
        (None, None, Unassigned()),
    ],
)
def test_nothing_to_install(asked: str | None, running: str | None, answer: configurations.Answer) -> None:
    payload = configurations.nothing(asked, running)
    assert b"statusCode" not in payload
    assert configurations.decode_answer(payload) == answer


def test_zero_bytes_are_a_cleared_push() -> None:
    assert configurations.decode_answer(b"") == Unassigned()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"configId":"1.0.0"}', "member-missing"),
        (b'{"config":{}}', "member-missing"),
        (b'{"configId":"1.0.0","config":{},"statusCode":404}', "member-out-of-range"),
        (b'{"configId":"abc","config":{}}', "config-id-not-semver"),
        (b'{"configId":"1.0.0","config":{},"extra":1}', "member-unknown"),
        (b"[]", "member-type"),
    ],
)
def test_answers_that_no_endpoint_should_act_on(payload: bytes, code: str) -> None:
    with pytest.raises(PayloadError) as refused:
        configurations.decode_answer(payload)
    assert refused.value.code == code


def test_error_answers() -> None:
    payload = configurations.error(400, 'no "such"\0 thing' + "x" * 600)
    found = configurations.decode_error(payload)
    assert found.status_code == 400
    assert found.reason_phrase.startswith('no "such"\ufffd thing')
    assert len(found.reason_phrase) == 500
    assert configurations.decode_error(configurations.error(413, "é")) == ErrorAnswer(
        status_code=413, reason_phrase="é"
    )
    for incomplete in (b"{}", b'{"statusCode":400}', b'{"reasonPhrase":"x"}'):
        with pytest.raises(PayloadError):
            configurations.decode_error(incomplete)
