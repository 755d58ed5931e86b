from __future__ import annotations

import pytest

from protocol import requests
from protocol.errors import RetainedError
from protocol.links import Inbound
from protocol.metadata import MetadataKeysQuery
from protocol.payloads import Limits
from protocol.requests import Echo, ForeignPush, RequestRefusedError
from protocol.topics import Instances, Resource

INSTANCES = Instances()
PREFIX = "kp1/smart-kettle-v1/cmx_ota/tok7"


def _refused(inbound: Inbound, limits: Limits | None = None) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as refused:
        requests.parse(inbound, INSTANCES, limits or Limits())
    return refused.value


def _asked(response_topic: str | None) -> tuple[Inbound, str]:
    inbound = Inbound(topic=f"{PREFIX}/config/json/5", payload=b"{}", response_topic=response_topic)
    request = requests.parse(inbound, INSTANCES)
    assert not isinstance(request, Echo | ForeignPush)
    return inbound, requests.answer_topic(inbound, request.address)


def test_a_refusal_carries_its_cause_and_where_to_say_so() -> None:
    error = _refused(Inbound(topic=f"{PREFIX}/applied/json", payload=b'{"configId":"1.0.0"}', retain=True))
    assert isinstance(error.cause, RetainedError)
    assert (error.code, error.status_code) == ("retained", 400)
    assert error.error_topic == f"{PREFIX}/applied/json/error"
    assert error.address is not None
    assert error.address.token == "tok7"


def test_limits_are_settings() -> None:
    error = _refused(Inbound(topic=f"{PREFIX}/applied/json", payload=b'{"configId":"1.0.0"}'), Limits(payload_bytes=8))
    assert (error.code, error.status_code) == ("payload-too-large", 413)


def test_get_keys_ignores_any_payload() -> None:
    inbound = Inbound(topic="kp1/smart-kettle-v1/epmx/tok7/get/keys", payload=b"\xff")
    assert isinstance(requests.parse(inbound, INSTANCES), MetadataKeysQuery)


@pytest.mark.parametrize("payload", [b'{"configId":"9.9.9","metadata":{}}', b"", b"rubbish"])
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("resource", [Resource.CONFIG, Resource.CONSENT])
def test_whoever_writes_where_only_we_do_is_told_apart(*, resource: Resource, retain: bool, payload: bytes) -> None:
    found = requests.parse(Inbound(topic=f"{PREFIX}/{resource}/status", payload=payload, retain=retain), INSTANCES)
    assert isinstance(found, ForeignPush)
    assert (found.address.token, found.address.resource) == ("tok7", resource)


def test_the_configuration_instance_is_counted_and_not_answered() -> None:
    error = _refused(Inbound(topic="kp1/smart-kettle-v1/cmx/tok7/applied/json/1", payload=b"rubbish"))
    assert (error.code, error.error_topic) == ("configuration-not-served", None)


def test_a_reason_never_holds_the_token() -> None:
    for topic in (f"{PREFIX}/x", f"{PREFIX}/config/json/", f"{PREFIX}/applied/json"):
        assert "tok7" not in _refused(Inbound(topic=topic, payload=b"")).reason


def test_a_response_topic_is_honoured_in_the_endpoints_namespace() -> None:
    assert _asked(None)[1] == f"{PREFIX}/config/json/5/status"
    assert _asked(f"{PREFIX}/answers/5")[1] == f"{PREFIX}/answers/5"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "kp1/smart-kettle-v1/cmx_ota/tok8/config/json/status",
        "otao/v1/smart-kettle/control/plan",
        f"{PREFIX}/applied/json",
    ],
)
def test_a_response_topic_elsewhere_is_refused_on_the_error_topic(elsewhere: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        _asked(elsewhere)
    assert (refused.value.code, refused.value.error_topic) == (
        "response-topic-refused",
        f"{PREFIX}/config/json/5/error",
    )
