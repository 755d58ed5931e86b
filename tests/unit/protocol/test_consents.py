from __future__ import annotations

import pytest

from protocol import consents, topics
from protocol.consents import ConsentAnswer, ConsentAsk
from protocol.errors import PayloadError
from protocol.topics import Instances

ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/consent/json/5", Instances())


@pytest.mark.parametrize("reason", [None, "not before tea time"])
@pytest.mark.parametrize("granted", [True, False])
def test_an_answer_is_read_back(*, granted: bool, reason: str | None) -> None:
    payload = consents.encode(config_id="1.1.0", granted=granted, reason_phrase=reason)
    assert consents.decode(ADDRESS, payload) == ConsentAnswer(
        address=ADDRESS, config_id="1.1.0", granted=granted, reason_phrase=reason
    )


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"configId":"1.1.0"}', "member-missing"),
        (b'{"granted":true}', "member-missing"),
        (b'{"configId":null,"granted":true}', "member-type"),
        (b'{"configId":"latest","granted":true}', "config-id-not-semver"),
        (b'{"configId":"1.1.0","granted":null}', "member-type"),
        (b'{"configId":"1.1.0","granted":"yes"}', "member-type"),
        (b'{"configId":"1.1.0","granted":true,"reasonPhrase":1}', "member-type"),
        (b'{"configId":"1.1.0","granted":true,"until":"noon"}', "member-unknown"),
        (b"", "payload-not-json"),
    ],
)
def test_other_answers_are_refused(payload: bytes, code: str) -> None:
    with pytest.raises(PayloadError) as refused:
        consents.decode(ADDRESS, payload)
    assert refused.value.code == code


@pytest.mark.parametrize("metadata", ["{}", '{ "a" : 1.10 , "\\u00e9": [1e999] }', "null"])
def test_an_ask_delivers_the_metadata_as_it_was_given(metadata: str) -> None:
    payload = consents.ask("1.1.0", metadata)
    assert payload == b'{"configId":"1.1.0","metadata":%s}' % metadata.encode()
    assert consents.decode_ask(payload) == ConsentAsk(config_id="1.1.0", metadata=metadata)


def test_zero_bytes_ask_nothing() -> None:
    assert consents.decode_ask(b"") is None


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"configId":"1.1.0"}', "member-missing"),
        (b'{"metadata":{}}', "member-missing"),
        (b'{"configId":1,"metadata":{}}', "member-type"),
        (b'{"configId":"new","metadata":{}}', "config-id-not-semver"),
        (b'{"configId":"1.1.0","metadata":{},"config":{}}', "member-unknown"),
        (b"[]", "member-type"),
        (b"rubbish", "payload-not-json"),
    ],
)
def test_what_is_no_ask_is_told_apart(payload: bytes, code: str) -> None:
    with pytest.raises(PayloadError) as refused:
        consents.decode_ask(payload)
    assert refused.value.code == code
