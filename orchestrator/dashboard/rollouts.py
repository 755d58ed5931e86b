"""Rollouts on the page of an application: those that go on or are stopped, and the operator's hand on them.

Layer: dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fastapi import Request, Response

from orchestrator.api.authors import By
from orchestrator.api.contexts import ApiContext, Context
from orchestrator.api.requests import LIMITS
from orchestrator.application.commands import MoveRollout
from orchestrator.application.documents import progress
from orchestrator.application.documents.progress import ApprovalBody
from orchestrator.application.problems import MemberError
from orchestrator.dashboard import forms, renderings, routes
from orchestrator.dashboard.renderings import Json, path_of, shown
from orchestrator.domain.rollouts import Phase
from orchestrator.domain.versions import Version
from protocol.errors import quoted

router = routes.router()

MOVES = {
    Phase.RUNNING.value: ("pause", "approve", "abort"),
    Phase.PAUSED.value: ("resume", "abort"),
    Phase.WAITING_APPROVAL.value: ("approve", "pause", "abort"),
}
"""What is offered for a rollout in each state; in others it is not shown."""


@router.post("/applications/{app}/software/{version}/rollout")
async def move(request: Request, app: str, version: str, context: Context, by: By) -> Response:
    """Pause, resume, approve or abort a rollout."""
    given = await forms.fields(request)
    ways: dict[str, MoveRollout] = {
        "pause": context.rollouts.pause,
        "resume": context.rollouts.resume,
        "approve": partial(context.rollouts.approve, stage=_stage(given)),
        "abort": context.rollouts.abort,
    }
    way = ways.get(given.get("do", ""))
    if way is None:
        raise MemberError(f"'do': must be one of {', '.join(ways)}, not {quoted(given.get('do', ''))}")
    await way(app, Version.parse(version), by=by.because(given.get("reason")))
    return renderings.redirect(path_of("applications", app))


def _stage(given: Mapping[str, str]) -> int | None:
    """The stage that the page has shown: when its gate has opened since, the next one is not left as well."""
    members = {name: text for name, text in given.items() if name == "stage"}
    return ApprovalBody.read(members, LIMITS).stage


async def unfinished(context: ApiContext, app: str) -> list[Json]:
    """The documents of the rollouts that gates judge and that may go on, highest version first; `moves` beside."""
    found = [shown(progress.build(view, context.now())) for view in await context.rollouts.judged(app)]
    return [{**item, "moves": MOVES[item["state"]]} for item in found if item["state"] in MOVES]
