"""Software definitions over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest

SOFTWARE = f"{KETTLE}/software"
GENERAL = b'{"rolloutStrategy":"general"'

ODD = (
    '{"n":1.10,"big":123456789012345678901234567890,"exp":1E400,"zero":-0.0,"z":1,"a":2,'
    '"text":"caf\\u00e9 \\/ \\ud83d\\ude00 \\ud800 \\u0000 \u00e9","list":[1.0,1],"sub":{"b":null,"a":[]}}'
)


@pytest.fixture
async def kettle(rest: Rest) -> Rest:
    await add_application(rest)
    return rest


async def test_a_definition_is_answered_as_it_is_stored(kettle: Rest) -> None:
    body = {
        "version": "1.1.0",
        "upgradableFrom": ["1.0.0", "^0.9"],
        "rolloutStrategy": "targeted",
        "filters": [{"filterId": "canary", "rolloutDate": "2026-12-01T09:00:00+01:00"}, {"filterId": "field"}],
        "specification": {"link": "https://example.org/fw.bin"},
        "metadata": {"description": "quieter"},
        "rollout": {"start": "2026-06-01T00:00:00Z", "attempts": {"max": 5, "backoff": "PT1H"}},
    }
    for name in ("canary", "field"):
        await kettle.put(f"{KETTLE}/filters/{name}", {"expression": "attributes.a == 1"})
    created = await kettle.send("PUT", f"{SOFTWARE}/1.1.0", body)
    assert created.status_code == 201
    filters = [
        {"filterId": "canary", "rolloutDate": "2026-12-01T08:00:00Z"},
        {"filterId": "field", "rolloutDate": None},
    ]
    assert created.json() == body | {
        "filters": filters,
        "recalledAt": None,
        "offeredAt": None,
        "createdAt": "2026-03-01T12:00:00Z",
        "updatedAt": "2026-03-01T12:00:00Z",
    }
    assert await kettle.get(f"{SOFTWARE}/1.1.0") == created.json()
    assert await kettle.get(SOFTWARE) == [created.json()]
    assert await kettle.put(f"{SOFTWARE}/1.1.0", created.json(), if_match="*") == created.json()


async def test_the_list_is_a_bare_array_with_the_highest_version_first(kettle: Rest) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1"):
        await add_software(kettle, version)
    assert [item["version"] for item in await kettle.get(SOFTWARE)] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]


async def test_a_specification_keeps_its_exact_text(kettle: Rest) -> None:
    spaced = ODD.replace(",", " ,\n\t").replace("1.10", " 1.10 ")
    body = GENERAL + f',"specification":{spaced},"metadata":{{ "n" : 1.50 }}}}'.encode()
    put = await kettle.send("PUT", f"{SOFTWARE}/1.0.0", body)
    got = await kettle.send("GET", f"{SOFTWARE}/1.0.0")
    for answer in (put, got):
        assert f'"specification":{ODD},"metadata":{{"n":1.50}}'.encode() in answer.content
    entry = kettle.directory.by_name("smart-kettle")
    assert entry is not None
    (record,) = entry.software.values()
    assert f'"config":{ODD}'.encode() in entry.offer(record.software.version)


@pytest.mark.parametrize("specification", ["0", '""', "false", "[]", "{}", '"text"', "1e2"])
async def test_a_specification_may_be_any_json(kettle: Rest, specification: str) -> None:
    body = GENERAL + f',"specification":{specification}}}'.encode()
    answer = await kettle.send("PUT", f"{SOFTWARE}/1.0.0", body)
    assert f'"specification":{specification},'.encode() in answer.content


@pytest.mark.parametrize("tail", [b"}", b',"specification":null}'])
async def test_a_null_specification_is_none(kettle: Rest, tail: bytes) -> None:
    answer = await kettle.send("PUT", f"{SOFTWARE}/1.0.0", GENERAL + tail)
    assert answer.json()["specification"] is None


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (b"{}", "member-missing"),
        (GENERAL + b',"version":"1.0.1"}', "member-read-only"),
        (GENERAL + b',"colour":1}', "member-unknown"),
        (b'{"rolloutStrategy":"all"}', "member-invalid"),
        (b'{"rolloutStrategy":null}', "member-invalid"),
        (GENERAL + b',"upgradableFrom":"1.0.0"}', "member-type"),
        (GENERAL + b',"upgradableFrom":["one"]}', "invalid-constraint"),
        (GENERAL + b',"upgradableFrom":[1]}', "member-type"),
        (GENERAL + b',"metadata":[]}', "member-invalid"),
        (GENERAL + b',"filters":[{"filterId":"x"}]}', "filter-unknown"),
        (GENERAL + b',"filters":[{"filterId":"x"},{"filterId":"x"}]}', "member-invalid"),
        (GENERAL + b',"filters":[{"filterId":"x","rolloutDate":"tomorrow"}]}', "member-invalid"),
        (GENERAL + b',"filters":[{"filterId":"x","rolloutDate":"2026-01-01T00:00:00"}]}', "member-invalid"),
        (GENERAL + b',"rollout":{"stages":[{"percent":10},{"percent":5}]}}', "member-invalid"),
        (GENERAL + b',"rollout":{"stages":[{"filter":"x"}]}}', "filter-unknown"),
        (GENERAL + b',"rollout":{"window":{"cron":"at night","duration":"PT4H"}}}', "window-invalid"),
        (GENERAL + b',"rollout":{"deadline":{"downloading":"PT1H"}}}', "member-unknown"),
        (GENERAL + b',"rollout":{"attempts":{"max":0}}}', "member-invalid"),
        (GENERAL + b',"rollout":{"attempts":{"max":true}}}', "member-type"),
        (GENERAL + b',"rollout":{"attempts":{"backoff":"10 minutes"}}}', "member-invalid"),
        (GENERAL + b',"rollout":{"deadline":{"installing":"P11Y"}}}', "member-invalid"),
        (GENERAL + b',"recalledAt":null}', "member-read-only"),
    ],
)
async def test_a_wrong_definition_is_refused_and_stores_nothing(kettle: Rest, members: bytes, code: str) -> None:
    assert await kettle.refused("PUT", f"{SOFTWARE}/1.0.0", members) == (422, code)
    assert await kettle.get(SOFTWARE) == []


@pytest.mark.parametrize(
    ("rollout", "status", "sentence"),
    [
        ({"stages": [{"filter": "nope"}]}, 422, "'rollout.stages[0].filter': there is no filter 'nope'"),
        ({"stages": [{"count": 10**20}]}, 400, "'rollout.stages[0].count': a whole number needs more than 64 bits"),
    ],
)
async def test_what_is_wrong_inside_a_rollout_is_named_by_its_path(
    kettle: Rest, rollout: dict[str, object], status: int, sentence: str
) -> None:
    response = await kettle.send("PUT", f"{SOFTWARE}/1.0.0", {"rolloutStrategy": "general", "rollout": rollout})
    assert (response.status_code, response.json()["detail"]) == (status, sentence)


@pytest.mark.parametrize("version", ["1", "1.0", "01.0.0", "latest", "v1.0.0", "1.0.0 "])
async def test_a_version_is_strict_semver(kettle: Rest, version: str) -> None:
    assert await kettle.refused("PUT", f"{SOFTWARE}/{version}", {"rolloutStrategy": "general"}) == (
        422,
        "invalid-version",
    )


async def test_versions_that_differ_in_build_metadata_conflict(kettle: Rest) -> None:
    await add_software(kettle, "1.0.0+a")
    for headers in ({}, {"if_match": "*"}):
        twin = await kettle.refused("PUT", f"{SOFTWARE}/1.0.0+b", {"rolloutStrategy": "general"}, **headers)
        assert twin == (409, "version-conflict")
    assert await kettle.refused("GET", f"{SOFTWARE}/1.0.0") == (404, "software-not-found")
    assert await kettle.refused("DELETE", f"{SOFTWARE}/1.0.0+b", if_match="*") == (404, "software-not-found")
    assert (await kettle.get(f"{SOFTWARE}/1.0.0+a"))["version"] == "1.0.0+a"


async def test_an_offered_specification_is_frozen_and_the_rest_is_not(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0", metadata={"a": 1})
    await kettle.put(f"{SOFTWARE}/1.1.0", {"rolloutStrategy": "general", "specification": 1}, if_match="*")
    await kettle.put(
        f"{SOFTWARE}/1.1.0", {"rolloutStrategy": "general", "specification": 2, "upgradableFrom": ["*"]}, if_match="*"
    )
    await add_endpoint(kettle, "k")
    definition = await kettle.get(f"{SOFTWARE}/1.1.0")
    assert definition["offeredAt"] == "2026-03-01T12:00:00Z"
    frozen = (409, "specification-frozen")
    for body in ({"specification": 3}, {"specification": None}):
        assert await kettle.refused("PATCH", f"{SOFTWARE}/1.1.0", body, if_match="*") == frozen
    assert await kettle.refused("PUT", f"{SOFTWARE}/1.1.0", {"rolloutStrategy": "general"}, if_match="*") == frozen
    answer = await kettle.send("PATCH", f"{SOFTWARE}/1.1.0", {"metadata": {"b": 2}}, if_match="*")
    assert answer.json()["metadata"] == {"b": 2}


async def test_a_patch_merges_and_leaves_the_rest_its_exact_text(kettle: Rest) -> None:
    body = (
        GENERAL + b',"specification":{"n":1.10,"old":1,"sub":{"a":1e2}},"metadata":{"a":1},"upgradableFrom":["1.0.0"]}'
    )
    created = await kettle.send("PUT", f"{SOFTWARE}/1.1.0", body)
    patch = b'{"specification":{"old":null,"sub":{"b":2.0}},"metadata":null,"rollout":{"attempts":{"max":9}}}'
    tag = created.headers["etag"]
    patched = await kettle.send(
        "PATCH", f"{SOFTWARE}/1.1.0", patch, if_match=tag, content_type="application/merge-patch+json"
    )
    assert patched.status_code == 200
    assert b'"specification":{"n":1.10,"sub":{"a":1e2,"b":2.0}},"metadata":{}' in patched.content
    assert patched.json()["rollout"] == {"attempts": {"max": 9}}
    assert patched.json()["upgradableFrom"] == ["1.0.0"]
    again = await kettle.send("PATCH", f"{SOFTWARE}/1.1.0", b'{"rollout":{"attempts":{"returns":7}}}', if_match="*")
    assert again.json()["rollout"] == {"attempts": {"max": 9, "returns": 7}}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"rolloutStrategy": None}, (422, "member-missing")),
        ({"version": "2.0.0"}, (422, "member-read-only")),
        ({"recalledAt": "2026-01-01T00:00:00Z"}, (422, "member-read-only")),
        ({"createdAt": None}, (422, "member-read-only")),
        ({"colour": None}, (200, "")),
        ({"colour": 1}, (422, "member-unknown")),
        ([], (422, "member-type")),
    ],
)
async def test_a_patch_is_held_to_the_rules_of_the_whole(
    kettle: Rest, patch: object, expected: tuple[int, str]
) -> None:
    await add_software(kettle, "1.0.0")
    answer = await kettle.send("PATCH", f"{SOFTWARE}/1.0.0", patch, if_match="*")
    assert (answer.status_code, answer.json().get("code", "")) == expected


async def test_only_those_who_have_seen_a_definition_change_it(kettle: Rest) -> None:
    await add_software(kettle, "1.0.0")
    body = {"rolloutStrategy": "general"}
    for method in ("PUT", "PATCH", "DELETE"):
        assert await kettle.refused(method, f"{SOFTWARE}/1.0.0", body) == (428, "precondition-required")
        stale = await kettle.refused(method, f"{SOFTWARE}/1.0.0", body, if_match='"1-1"')
        assert stale == (412, "precondition-failed")
    assert await kettle.refused("PATCH", f"{SOFTWARE}/2.0.0", body, if_match="*") == (404, "software-not-found")


async def test_a_new_definition_reaches_those_whom_it_concerns_and_nobody_else(kettle: Rest) -> None:
    for endpoint_id, running in (("a", "1.0.0"), ("b", "3.0.0"), ("c", None)):
        await add_endpoint(kettle, endpoint_id, running)
    await add_software(kettle, "1.1.0", "1.0.0")
    (work,) = await kettle.storage.works()
    assert {str(version) for version in work.running or ()} == {"1.0.0"}
    assert kettle.gate.closings == 0
    await kettle.sweep()
    assert (await kettle.get(f"{KETTLE}/endpoints/a"))["offer"]["version"] == "1.1.0"
    assert (await kettle.get(f"{KETTLE}/endpoints/b"))["offer"] is None


async def test_an_isolated_definition_gives_no_work(kettle: Rest) -> None:
    await add_endpoint(kettle, "a", "1.0.0")
    await add_software(kettle, "9.0.0", "8.0.0")
    assert await kettle.storage.works() == []


@pytest.mark.parametrize("stop", ["suspend", "recall", "delete", "narrow", "hollow-edge"])
async def test_invariant_7_a_stop_shows_from_its_commit_on(kettle: Rest, stop: str) -> None:
    await add_software(kettle, "1.1.0", "1.0.0")
    for name in ("a", "b"):
        await add_endpoint(kettle, name, "1.0.0")
    closings = kettle.gate.closings
    path = f"{SOFTWARE}/1.1.0"
    match stop:
        case "suspend":
            answer = await kettle.send("PATCH", path, {"rolloutStrategy": "suspended"}, if_match="*")
        case "recall":
            answer = await kettle.send("POST", f"{path}/recall")
            assert answer.json()["withdrawn"] == 2
        case "delete":
            answer = await kettle.send("DELETE", path, if_match="*")
        case "narrow":
            answer = await kettle.send("PATCH", path, {"rolloutStrategy": "targeted"}, if_match="*")
        case _:
            answer = await kettle.send("PATCH", path, {"upgradableFrom": ["0.1.0"]}, if_match="*")
    assert answer.is_success
    assert kettle.gate.closings == closings + 1
    if stop in {"suspend", "delete"}:
        assert answer.headers["otao-withdrawn"] == "2"
    if stop in {"suspend", "delete", "recall"}:
        assert (await kettle.get(f"{KETTLE}/endpoints/a"))["offer"] is None
        assert (await kettle.get(f"{KETTLE}/summary"))["byState"] == {"withdrawn": 2}
    await kettle.sweep()
    assert (await kettle.get(f"{KETTLE}/endpoints/b"))["offer"] is None
    assert (await kettle.get(f"{KETTLE}/summary"))["byState"] == {"withdrawn": 2}


async def test_a_recall_is_final_idempotent_and_leads_endpoints_away(kettle: Rest) -> None:
    await add_software(kettle, "1.1.0", "1.0.0")
    await add_software(kettle, "1.0.0", "1.1.0")
    await add_endpoint(kettle, "a", "1.1.0")
    first = await kettle.send("POST", f"{SOFTWARE}/1.1.0/recall", {"reason": "it burns"})
    assert (first.status_code, first.json()["recalledAt"]) == (200, "2026-03-01T12:00:00Z")
    rest_of_the_day = kettle.clock.at.replace(hour=20)
    kettle.clock.at = rest_of_the_day
    second = await kettle.send("POST", f"{SOFTWARE}/1.1.0/recall", b"")
    assert second.json() == first.json()
    assert second.headers["etag"] == first.headers["etag"]
    await kettle.sweep()
    assert (await kettle.get(f"{KETTLE}/endpoints/a"))["offer"]["version"] == "1.0.0"
    body = {"rolloutStrategy": "general", "upgradableFrom": ["1.0.0"], "specification": {"link": "x"}}
    put = await kettle.put(f"{SOFTWARE}/1.1.0", body, if_match="*")
    assert put["recalledAt"] == "2026-03-01T12:00:00Z"
    assert await kettle.refused("POST", f"{SOFTWARE}/9.9.9/recall") == (404, "software-not-found")


async def test_software_of_no_application_is_not_found(rest: Rest) -> None:
    for method, path in (("GET", SOFTWARE), ("GET", f"{SOFTWARE}/1.0.0"), ("DELETE", f"{SOFTWARE}/1.0.0")):
        assert await rest.refused(method, path, if_match="*") == (404, "application-not-found")
    body = {"rolloutStrategy": "general"}
    assert await rest.refused("PUT", f"{SOFTWARE}/1.0.0", body) == (404, "application-not-found")
