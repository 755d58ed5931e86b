"""Applications over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest

LIST = "/api/v1/applications"


async def test_an_application_is_created_read_changed_and_deleted(rest: Rest) -> None:
    created = await rest.send("PUT", KETTLE, {"appVersions": ["v1", "v2"], "description": "a kettle"})
    assert created.status_code == 201
    assert created.json() == {
        "name": "smart-kettle",
        "appVersions": ["v1", "v2"],
        "registration": "closed",
        "profile": "kaa",
        "push": "retained",
        "consent": "none",
        "operatorKeys": [],
        "limits": None,
        "description": "a kettle",
        "createdAt": "2026-03-01T12:00:00Z",
        "frozen": None,
    }
    assert await rest.get(KETTLE) == created.json()
    tag = created.headers["etag"]
    changed = await rest.send("PUT", KETTLE, {"appVersions": ["v1"], "operatorKeys": ["ring"]}, if_match=tag)
    assert changed.status_code == 200
    assert changed.json()["operatorKeys"] == ["ring"]
    assert changed.headers["etag"] != tag
    assert (await rest.send("DELETE", KETTLE, if_match=changed.headers["etag"])).status_code == 204
    assert await rest.refused("GET", KETTLE) == (404, "application-not-found")


async def test_what_was_read_can_be_written_back(rest: Rest) -> None:
    read = await add_application(rest, registration="open", push="live", profile="rfc7")
    assert await rest.put(KETTLE, read, if_match="*") == read


async def test_registration_of_an_existing_application_stays_when_it_is_not_named(rest: Rest) -> None:
    await add_application(rest, registration="open")
    assert (await rest.put(KETTLE, {"appVersions": ["v9"]}, if_match="*"))["registration"] == "open"


async def test_an_unchanged_application_keeps_its_tag(rest: Rest) -> None:
    created = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]})
    again = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]}, if_match=created.headers["etag"])
    assert again.headers["etag"] == created.headers["etag"]


async def test_a_tag_does_not_come_back_after_a_deletion(rest: Rest) -> None:
    first = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]})
    await rest.send("DELETE", KETTLE, if_match="*")
    rest.clock.at = rest.clock.at.replace(second=1)
    second = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]})
    assert second.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (428, "precondition-required")),
        ({"if_match": '"0-0"'}, (412, "precondition-failed")),
        ({"if_match": "rubbish"}, (412, "precondition-failed")),
        ({"if_none_match": "*"}, (412, "precondition-failed")),
    ],
)
async def test_what_exists_is_changed_only_by_those_who_have_seen_it(
    rest: Rest, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    await add_application(rest)
    assert await rest.refused("PUT", KETTLE, {"appVersions": ["v1"]}, **headers) == expected
    assert await rest.refused("DELETE", KETTLE, **headers) == expected


async def test_a_weak_tag_does_not_match(rest: Rest) -> None:
    created = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]})
    weak = f"W/{created.headers['etag']}"
    assert await rest.refused("DELETE", KETTLE, if_match=weak) == (412, "precondition-failed")
    several = f'"other", {created.headers["etag"]}'
    assert (await rest.send("DELETE", KETTLE, if_match=several)).status_code == 204


async def test_a_condition_on_what_does_not_exist_fails(rest: Rest) -> None:
    assert await rest.refused("PUT", KETTLE, {"appVersions": ["v1"]}, if_match="*") == (412, "precondition-failed")
    assert (await rest.send("PUT", KETTLE, {"appVersions": ["v1"]}, if_none_match="*")).status_code == 201


async def test_a_reader_who_has_it_already_is_sent_nothing(rest: Rest) -> None:
    created = await rest.send("PUT", KETTLE, {"appVersions": ["v1"]})
    answer = await rest.send("GET", KETTLE, if_none_match=f"W/{created.headers['etag']}")
    assert (answer.status_code, answer.content) == (304, b"")


async def test_an_application_version_belongs_to_one_application(rest: Rest) -> None:
    await add_application(rest)
    taken = await rest.refused("PUT", f"{LIST}/other", {"appVersions": ["smart-kettle-v1"]})
    assert taken == (409, "app-version-taken")
    assert (await rest.send("PUT", f"{LIST}/other", {"appVersions": ["other-v1"]})).status_code == 201


async def test_an_application_version_stays_while_endpoints_have_it(rest: Rest) -> None:
    await rest.put(KETTLE, {"appVersions": ["v1", "v2"]})
    await add_endpoint(rest, "k", appVersion="v1")
    refused = await rest.refused("PUT", KETTLE, {"appVersions": ["v2"]}, if_match="*")
    assert refused == (409, "app-version-in-use")
    assert (await rest.put(KETTLE, {"appVersions": ["v1"]}, if_match="*"))["appVersions"] == ["v1"]


async def test_an_application_with_endpoints_is_not_deleted(rest: Rest) -> None:
    await add_application(rest)
    await add_software(rest, "1.0.0")
    await add_endpoint(rest, "k")
    assert await rest.refused("DELETE", KETTLE, if_match="*") == (409, "application-in-use")
    await rest.send("DELETE", f"{KETTLE}/endpoints/k", if_match="*")
    assert (await rest.send("DELETE", KETTLE, if_match="*")).status_code == 204
    await add_application(rest)
    assert await rest.get(f"{KETTLE}/software") == []


@pytest.mark.parametrize("members", [{"push": "live"}, {"profile": "rfc7"}])
async def test_another_way_of_pushing_has_all_pushes_written_anew(rest: Rest, members: dict[str, str]) -> None:
    await add_application(rest)
    await rest.put(KETTLE, {"appVersions": ["smart-kettle-v1"], **members}, if_match="*")
    (work,) = await rest.storage.works()
    assert work.running is None
    assert rest.wake.worked == 2


async def test_a_description_gives_no_work(rest: Rest) -> None:
    await add_application(rest)
    await rest.put(KETTLE, {"appVersions": ["smart-kettle-v1"], "description": "new"}, if_match="*")
    assert await rest.storage.works() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "member-missing"),
        ({"appVersions": []}, "member-invalid"),
        ({"appVersions": ["a", "a"]}, "member-invalid"),
        ({"appVersions": ["a/b"]}, "member-invalid"),
        ({"appVersions": "a"}, "member-type"),
        ({"appVersions": ["a"], "push": "loud"}, "member-invalid"),
        ({"appVersions": ["a"], "consent": "perhaps"}, "member-invalid"),
        ({"appVersions": ["a"], "operatorKeys": ["a-b"]}, "member-invalid"),
        ({"appVersions": ["a"], "description": 1}, "member-type"),
        ({"appVersions": ["a"], "description": "\0"}, "text-not-storable"),
        ({"appVersions": ["a"], "colour": "red"}, "member-unknown"),
        ({"appVersions": ["a"], "name": "other"}, "member-read-only"),
        ({"appVersions": ["a"], "createdAt": "2026-03-01T12:00:00Z"}, "member-read-only"),
    ],
)
async def test_a_wrong_body_is_refused_and_creates_nothing(rest: Rest, body: object, code: str) -> None:
    assert await rest.refused("PUT", KETTLE, body) == (422, code)
    assert (await rest.get(LIST))["items"] == []


@pytest.mark.parametrize("name", ["Kettle", "a.b", "x" * 65, "%C3%A9"])
async def test_a_name_that_no_application_may_have_is_refused(rest: Rest, name: str) -> None:
    assert await rest.refused("PUT", f"{LIST}/{name}", {"appVersions": ["a"]}) == (422, "application-name-invalid")


async def test_the_list_goes_on_where_its_cursor_says(rest: Rest) -> None:
    for name in ("c", "a", "b"):
        await rest.put(f"{LIST}/{name}", {"appVersions": [name]})
    first = await rest.send("GET", f"{LIST}?limit=2")
    assert [item["name"] for item in first.json()["items"]] == ["a", "b"]
    second = await rest.get(f"{LIST}?limit=2&cursor={first.json()['next']}")
    assert ([item["name"] for item in second["items"]], second["next"]) == (["c"], None)
    target = first.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    assert await rest.get(target) == second
