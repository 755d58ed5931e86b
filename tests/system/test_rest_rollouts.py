"""REST: how far rollouts are, and what operators do with them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.api import schemas
from tests.architecture.sources import ROOT
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software, open_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.system.rests import Json, Rest

ROLLOUT = f"{KETTLE}/software/1.1.0/rollout"
STAGED = {
    "stages": [
        {"count": 2, "minAttempted": 2, "maxFailureRate": 0.4},
        {"percent": 100, "minAttempted": 1, "maxFailureRate": 0.4},
    ]
}
REFERENCE = ROOT / "docs/reference/rest-api.md"
FLEET = ["a", "b", "c", "d"]


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with open_rest(tmp_path) as rest:
        await add_application(rest)
        for endpoint_id in FLEET:
            await add_endpoint(rest, endpoint_id, "1.0.0")
        await add_software(rest, "1.1.0", "1.0.0", rollout=STAGED)
        await rest.sweep()
        # The first look finds whom the stage admits, the next one how many they are.
        await rest.judge()
        rest.clock.pass_by(timedelta(seconds=2))
        await rest.judge()
        yield rest


async def move(rest: Rest, name: str, reason: str | None = None) -> Json:
    response = await rest.send("POST", f"{ROLLOUT}/{name}", None if reason is None else {"reason": reason})
    assert response.status_code == 200, response.text
    return response.json()


async def offered(rest: Rest) -> list[str]:
    """Who holds an offer that may be seen."""
    shown = {name: await rest.get(f"{KETTLE}/endpoints/{name}") for name in FLEET}
    return [name for name, endpoint in shown.items() if endpoint["offer"] is not None]


async def test_a_rollout_is_shown_with_all_its_numbers(rest: Rest) -> None:
    shown = await rest.get(ROLLOUT)
    first, second = shown.pop("stages")
    assert shown == {
        "version": "1.1.0",
        "state": "running",
        "stage": 0,
        "since": "2026-03-01T12:00:00Z",
        "by": None,
        "reason": None,
        "summary": shown["summary"],
        "failures": [],
    }
    assert shown["summary"].startswith("stage 1: nobody was reached yet; 2 were offered it and not heard since")
    assert first == {
        "percent": None,
        "count": 2,
        "state": "running",
        "endpoints": 2,
        "offered": 2,
        "installing": 0,
        "soaking": 0,
        "confirmed": 0,
        "failed": 0,
        "reverted": 0,
        "expired": 0,
        "withdrawn": 0,
        "unhealthy": 0,
        "waiting": 0,
        "offline": 2,
        "settled": 0,
        "needed": 2,
        "failureRate": None,
        "bounds": None,
        "maxFailureRate": 0.4,
        "approval": "automatic",
        "reason": first["reason"],
    }
    assert (second["percent"], second["state"], second["endpoints"], second["needed"]) == (100, "waiting", None, None)
    assert "count" not in second


async def test_the_reference_shows_every_member_and_no_other(rest: Rest) -> None:
    example = re.search(r"^```json progress\n(.*?)\n```$", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert example is not None
    document = json.loads(example[1])
    schemas.Rollout.model_validate(document)
    answered = await rest.get(ROLLOUT)
    assert document.keys() == answered.keys()
    optional = {"count", "filter"}
    for stage in [*document["stages"], *answered["stages"]]:
        assert stage.keys() - optional == answered["stages"][0].keys() - optional


async def test_a_stage_that_passes_begins_the_next_and_the_last_one_finishes(rest: Rest) -> None:
    canaries = await offered(rest)
    assert len(canaries) == 2
    for name in canaries:
        await rest.report(name, "1.1.0")
    await rest.judge()
    advanced = await rest.get(ROLLOUT)
    assert (advanced["stage"], [stage["state"] for stage in advanced["stages"]]) == (1, ["passed", "running"])
    assert (advanced["stages"][0]["confirmed"], advanced["stages"][0]["failureRate"]) == (2, 0.0)
    field = await offered(rest)
    assert sorted([*canaries, *field]) == FLEET
    for name in field:
        await rest.report(name, "1.1.0")
    await rest.judge()
    finished = await rest.get(ROLLOUT)
    assert (finished["state"], [stage["state"] for stage in finished["stages"]]) == ("finished", ["passed", "passed"])
    entries = [entry for entry in (await rest.get(f"{KETTLE}/audit"))["items"] if entry["via"] == "engine"]
    actions = [entry["action"] for entry in reversed(entries)]
    assert [action for action in actions if action != "rollout.widen"] == ["rollout.advance", "rollout.finish"]
    assert {(entry["actor"], entry["resource"]) for entry in entries} == {("otao", "software/1.1.0/rollout")}
    assert (await move(rest, "approve")) == finished | {"withdrawn": 0}
    resumed = await rest.send("POST", f"{ROLLOUT}/resume")
    assert (resumed.status_code, resumed.json()["detail"]) == (
        409,
        "a rollout that is finished cannot be resumed: it is not paused, and serves newcomers as it is",
    )


async def test_a_rollout_that_fails_is_paused_with_its_reasons_until_it_is_resumed(rest: Rest) -> None:
    for name in await offered(rest):
        await rest.report(name, "1.1.0", 507, "no room left")
    await rest.judge()
    paused = await rest.get(ROLLOUT)
    assert (paused["state"], paused["by"], paused["stages"][0]["state"]) == ("paused", "otao", "failed")
    assert paused["summary"].startswith("paused: stage 1: ")
    assert paused["failures"] == [{"reason": "no room left", "endpoints": 2}]
    low, high = paused["stages"][0]["bounds"]
    assert (paused["stages"][0]["failureRate"], low < 1, high) == (1.0, True, 1.0)
    assert await rest.refused("POST", f"{ROLLOUT}/approve") == (409, "rollout-state")
    resumed = await move(rest, "resume", "it was the lamp")
    assert (resumed["state"], resumed["by"], resumed["reason"]) == ("running", "anonymous", "it was the lamp")
    await rest.judge()
    assert (await rest.get(ROLLOUT))["state"] == "running"


async def test_a_pause_takes_unstarted_offers_back_and_a_resume_brings_them_again(rest: Rest) -> None:
    canaries, closings = await offered(rest), rest.gate.closings
    paused = await move(rest, "pause", "leaks")
    assert (paused["state"], paused["summary"], paused["withdrawn"]) == ("paused", "paused: leaks", 2)
    assert rest.gate.closings == closings + 1
    assert await offered(rest) == []
    assert (await move(rest, "pause", "again"))["reason"] == "leaks"
    await rest.sweep()
    assert (await rest.get(ROLLOUT))["stages"][0]["withdrawn"] == 2
    assert (await move(rest, "resume"))["withdrawn"] == 0
    await rest.sweep()
    assert await offered(rest) == canaries


async def test_an_abort_is_final(rest: Rest) -> None:
    assert (await move(rest, "abort"))["withdrawn"] == 2
    assert (await move(rest, "abort"))["state"] == "aborted"
    await rest.sweep()
    assert await offered(rest) == []
    for name in ("pause", "resume", "approve"):
        assert await rest.refused("POST", f"{ROLLOUT}/{name}") == (409, "rollout-state")
    actions = [entry["action"] for entry in (await rest.get(f"{KETTLE}/audit"))["items"]]
    assert actions.count("rollout.abort") == 1


async def test_an_approval_leaves_a_stage_that_nobody_has_answered(rest: Rest) -> None:
    assert (await move(rest, "approve"))["stage"] == 1
    await rest.sweep()
    assert await offered(rest) == FLEET


async def test_a_manual_stage_waits_for_approval(rest: Rest) -> None:
    stages = [{**STAGED["stages"][0], "approval": "manual"}, STAGED["stages"][1]]
    await rest.put(f"{KETTLE}/software/1.1.0", await _edited(rest, {"stages": stages}), if_match="*")
    for name in await offered(rest):
        await rest.report(name, "1.1.0")
    await rest.judge()
    waiting = await rest.get(ROLLOUT)
    assert (waiting["state"], waiting["stage"], waiting["stages"][0]["state"]) == ("waiting-approval", 0, "passed")
    assert waiting["stages"][0]["approval"] == "manual"
    assert waiting["summary"].endswith("; waits for approval")
    approved = await move(rest, "approve", "the lab is content")
    assert (approved["state"], approved["stage"]) == ("running", 1)


async def _edited(rest: Rest, rollout: object) -> Json:
    definition = await rest.get(f"{KETTLE}/software/1.1.0")
    kept = ("upgradableFrom", "rolloutStrategy", "filters", "specification", "metadata")
    return {name: definition[name] for name in kept} | {"rollout": rollout}


async def test_what_its_software_is_comes_before_what_a_rollout_does(rest: Rest) -> None:
    await rest.put(
        f"{KETTLE}/software/1.1.0", await _edited(rest, STAGED) | {"rolloutStrategy": "suspended"}, if_match="*"
    )
    suspended = await rest.get(ROLLOUT)
    assert (suspended["state"], suspended["summary"]) == ("suspended", "the software is suspended")
    for name in ("pause", "resume", "approve"):
        refused = await rest.send("POST", f"{ROLLOUT}/{name}")
        assert (refused.status_code, refused.json()["code"]) == (409, "rollout-state")
        assert refused.json()["detail"] == (
            "1.1.0 is suspended, so that its rollout offers it to nobody: "
            "set rolloutStrategy to general or targeted first"
        )
    await rest.send("POST", f"{KETTLE}/software/1.1.0/recall")
    assert (await rest.get(ROLLOUT))["state"] == "recalled"
    for name in ("pause", "resume", "abort", "approve"):
        assert await rest.refused("POST", f"{ROLLOUT}/{name}") == (409, "software-recalled")


async def test_without_stages_it_is_one_that_nothing_judges(rest: Rest) -> None:
    await add_software(rest, "2.0.0", "1.1.0")
    shown = await rest.get(f"{KETTLE}/software/2.0.0/rollout")
    assert (shown["state"], len(shown["stages"]), shown["stages"][0]["percent"]) == ("running", 1, 100)
    assert "not judged" in shown["summary"]


@pytest.mark.parametrize("application", ["none", "required"])
@pytest.mark.parametrize(
    ("rollout", "held"),
    [
        ({}, {"none": None, "required": "consent is required"}),
        ({"consent": "none"}, {"none": None, "required": None}),
        ({"consent": "required"}, {"none": "consent is required", "required": "consent is required"}),
        ({"start": "2036-01-01T00:00:00Z"}, dict.fromkeys(("none", "required"), "it starts at 2036-01-01T00:00:00Z")),
    ],
)
async def test_a_summary_ends_with_what_holds_the_offers(
    tmp_path: Path, application: str, rollout: Json, held: dict[str, str | None]
) -> None:
    async with open_rest(tmp_path) as rest:
        await add_application(rest, consent=application)
        await add_endpoint(rest, "a", "1.0.0")
        await add_software(rest, "1.1.0", "1.0.0", rollout={"stages": [{"percent": 100}], **rollout})
        summary = (await rest.get(ROLLOUT))["summary"]
    expected = held[application]
    assert summary.startswith("stage 1: nobody was reached yet; 1 waits for an offer")
    if expected is None:
        assert summary.endswith("1 waits for an offer")
    else:
        assert summary.partition("for an offer; ")[2].startswith(expected)


async def test_a_revert_recalls_the_software(rest: Rest) -> None:
    await rest.put(f"{KETTLE}/software/1.1.0", await _edited(rest, STAGED | {"onFailure": "revert"}), if_match="*")
    for name in await offered(rest):
        await rest.report(name, "1.1.0", 500, "broken")
    await rest.judge()
    assert (await rest.get(ROLLOUT))["state"] == "recalled"
    assert (await rest.get(f"{KETTLE}/software/1.1.0"))["recalledAt"] is not None


@pytest.mark.parametrize("version", ["9.9.9", "1.1.0+build"])
async def test_unknown_software_has_no_rollout(rest: Rest, version: str) -> None:
    path = f"{KETTLE}/software/{version.replace('+', '%2B')}/rollout"
    assert await rest.refused("GET", path) == (404, "software-not-found")
    for name in ("pause", "resume", "abort", "approve"):
        assert await rest.refused("POST", f"{path}/{name}") == (404, "software-not-found")


@pytest.mark.parametrize(
    ("body", "code"), [({"why": "x"}, "member-unknown"), ({"reason": "x" * 501}, "member-invalid")]
)
async def test_a_bad_body_moves_nothing(rest: Rest, body: object, code: str) -> None:
    assert await rest.refused("POST", f"{ROLLOUT}/abort", body) == (422, code)
    assert (await rest.get(ROLLOUT))["state"] == "running"


async def test_an_approval_that_names_its_stage_leaves_no_other(rest: Rest) -> None:
    early = await rest.send("POST", f"{ROLLOUT}/approve", {"stage": 1})
    assert (early.status_code, early.json()["code"]) == (409, "rollout-state")
    assert early.json()["detail"] == "stage 2 has not begun: the rollout is in stage 1"
    for _ in range(2):
        answer = await rest.send("POST", f"{ROLLOUT}/approve", {"stage": 0})
        assert (answer.json()["state"], answer.json()["stage"]) == ("running", 1)
    assert await rest.refused("POST", f"{ROLLOUT}/approve", {"stage": 0.5}) == (422, "member-type")
    assert await rest.refused("POST", f"{ROLLOUT}/pause", {"stage": 1}) == (422, "member-unknown")
