"""Plans over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_sim.sketches import PACKET_BYTES, Received, Sketch, step
from orchestrator.api.plans import Plan
from protocol import configurations
from protocol.configurations import Profile
from tests import databases
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.rests import Json, Rest

PLAN = f"{KETTLE}/plan"
PACKET_ID = b"12"
"""Which the sketch's packets do not have: it subscribes with QoS 0."""
TWO = {
    "version": "2.0.0",
    "upgradableFrom": ["1.1.0"],
    "rolloutStrategy": "general",
    "specification": {"link": "https://example.org/2"},
}


async def plan(rest: Rest, body: object) -> Json:
    response = await rest.send("POST", PLAN, body)
    assert response.status_code == 200, response.text
    Plan.model_validate_json(response.content)
    return response.json()


async def fill(rest: Rest) -> None:
    await add_application(rest)
    await rest.put(f"{KETTLE}/filters/lab", {"expression": "attributes.site == 'lab'"})
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    await add_software(rest, "1.1.0", "1.0.0")
    for endpoint_id, running in (("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.1.0"), ("d", None), ("e", "0.9.0")):
        await add_endpoint(rest, endpoint_id, running, attributes={"site": "lab" if endpoint_id == "a" else "field"})


async def test_a_plan_says_every_hop_and_who_is_left_behind(rest: Rest) -> None:
    await fill(rest)
    assert await plan(rest, {"software": TWO}) == {
        "endpoints": 5,
        "moves": [
            {"from": "1.0.0", "to": "1.1.0", "endpoints": 2},
            {"from": "1.1.0", "to": "2.0.0", "endpoints": 3},
        ],
        "stages": [],
        # Those on 1.0.0 are offered 1.1.0 already.
        "firstOffers": [{"version": "2.0.0", "endpoints": 1, "asked": 0}],
        "duration": None,
        "unreachable": [
            {"reason": "no edge leads on from 0.9.0", "endpoints": 1},
            {"reason": "no version reported", "endpoints": 1},
        ],
        "warnings": ["0.9.0 is a dead end for 1 endpoint: nothing servable leads on from it to a higher version"],
    }


async def test_a_plan_stores_nothing(rest: Rest, tmp_path: Path) -> None:
    await fill(rest)
    before = await databases.dump(databases.place_in(tmp_path))
    await plan(rest, {"software": TWO})
    await plan(rest, {"catalogue": {"filters": {"all": "attributes.site == 'all'"}, "software": [TWO]}})
    assert await databases.dump(databases.place_in(tmp_path)) == before
    assert await rest.refused("GET", f"{KETTLE}/software/2.0.0") == (404, "software-not-found")


async def test_a_plan_needs_no_application(rest: Rest) -> None:
    assert await plan(rest, {"software": {**TWO, "upgradableFrom": ["*"]}}) == {
        "endpoints": 0,
        "moves": [],
        "stages": [],
        "firstOffers": [],
        "duration": None,
        "unreachable": [],
        "warnings": [],
    }
    assert await rest.refused("GET", KETTLE) == (404, "application-not-found")


async def test_targets_are_counted_by_the_filters_of_the_candidate(rest: Rest) -> None:
    await fill(rest)
    canary = {**TWO, "rolloutStrategy": "targeted", "filters": [{"filterId": "lab"}]}
    found = await plan(rest, {"software": canary})
    assert found["moves"][-1] == {"from": "1.1.0", "to": "2.0.0", "endpoints": 1}
    assert found["unreachable"][0] == {
        "reason": "2.0.0 is targeted, and no filter that it lists matches: lab",
        "endpoints": 2,
    }
    wider = {"filters": {"lab": "attributes.site == 'field'"}, "software": [canary]}
    assert (await plan(rest, {"catalogue": wider}))["moves"][-1]["endpoints"] == 2


def offered(characters: int) -> bytes:
    """The offer of a software with so many characters in its specification."""
    return configurations.offer("2.0.0", f'{{"notes":"{"n" * characters}"}}', Profile.KAA)


async def large(rest: Rest, characters: int) -> list[str]:
    """What a plan for such a software says of its size."""
    software = {**TWO, "specification": {"notes": "n" * characters}}
    return [text for text in (await plan(rest, {"software": software}))["warnings"] if "bytes" in text]


async def test_a_large_offer_is_warned_of(rest: Rest) -> None:
    await fill(rest)
    # 1079 of payload, 69 of topic, 7 of headers, the topic's length and the packet identifier.
    told = "an offer of 2.0.0 takes up to {} bytes in a packet, topic included; some devices take no more than 1023"
    assert await large(rest, 1000) == [told.format(1155)]
    await add_endpoint(rest, "long", "1.1.0", token="ü" * 64)
    assert await large(rest, 1000) == [told.format(1155 - len("a") + len(("ü" * 64).encode()))]


async def test_what_a_plan_does_not_warn_of_kaas_sketch_takes_on_the_longest_topic_there_is(rest: Rest) -> None:
    await fill(rest)
    token = "t" * 64
    await add_endpoint(rest, "long", "1.1.0", token=token)
    topic = f"kp1/smart-kettle-v1/cmx_ota/{token}/config/json/{'9' * 20}/status"
    characters = PACKET_BYTES - 5 - len(topic) - len(offered(0)) - len(PACKET_ID)
    assert await large(rest, characters) == []
    assert len(await large(rest, characters + 1)) == 1
    sketch = Sketch(app_version="smart-kettle-v1", token=token, firmware="1.1.0")
    for more, taken in ((len(PACKET_ID), 1), (len(PACKET_ID) + 1, 0)):
        _, commands = step(sketch, Received(topic=topic, payload=offered(characters + more)))
        assert len(commands) == taken


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "member-missing", "either"),
        ({"software": TWO, "catalogue": {}}, "member-missing", "not both"),
        ({"software": []}, "member-type", "'software'"),
        ({"catalogue": []}, "member-type", "'catalogue'"),
        ({"software": TWO, "checkLinks": "yes"}, "member-type", "checkLinks"),
        ({"software": TWO, "surplus": 1}, "member-unknown", "'surplus'"),
        ({"software": {**TWO, "version": "2"}}, "invalid-version", "'software.version'"),
        ({"software": {**TWO, "surplus": 1}}, "member-unknown", "'software.surplus'"),
        (
            {"software": {**TWO, "upgradableFrom": ["1.1.0", "one"]}},
            "invalid-constraint",
            "'software.upgradableFrom[1]'",
        ),
        ({"software": {**TWO, "filters": [{"filterId": "x"}]}}, "filter-unknown", "'software.filters[0].filterId'"),
        ({"catalogue": {"software": [TWO, TWO]}}, "member-invalid", "'software[1].version'"),
        ({"catalogue": {"filters": {"x y": "a"}}}, "filter-id-invalid", "'x y'"),
        ({"catalogue": {"filters": {"x": "=="}}}, "filter-syntax", "'filters.x.expression'"),
        ({"catalogue": {"push": "never"}}, "member-invalid", "'push'"),
    ],
)
async def test_what_a_put_would_refuse_a_plan_refuses(rest: Rest, body: object, code: str, said: str) -> None:
    await fill(rest)
    response = await rest.send("POST", PLAN, body)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert said in response.json()["detail"]


async def test_a_frozen_specification_is_refused_as_by_a_put(rest: Rest) -> None:
    await fill(rest)
    other = {**TWO, "version": "1.1.0", "upgradableFrom": ["1.0.0"]}
    assert await rest.refused("POST", PLAN, {"software": other}) == (409, "specification-frozen")
    await rest.send("DELETE", f"{KETTLE}/software/1.1.0", None, if_match="*")
    assert await rest.refused("POST", PLAN, {"software": other}) == (409, "specification-frozen")


async def test_a_name_that_no_application_can_have_is_refused(rest: Rest) -> None:
    assert await rest.refused("POST", "/api/v1/applications/A/plan", {"software": TWO}) == (
        422,
        "application-name-invalid",
    )
