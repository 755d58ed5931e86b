"""The page of one application, the list of all, and their freezes.

Rules:
- Every number comes from the use case that REST asks, in the document that REST answers.
- Actions are forms: they work without scripts, and end in a page that shows what has become.

Layer: dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from orchestrator.api.authors import By
from orchestrator.api.contexts import ApiContext, Context
from orchestrator.api.requests import LIMITS
from orchestrator.application.documents import attentions, freezes
from orchestrator.application.documents.freezes import FreezeBody
from orchestrator.application.drawings import svgs
from orchestrator.dashboard import forms, renderings, rollouts, routes
from orchestrator.dashboard.renderings import path_of, shown

router = routes.router()

ATTENTION = 5
"""How many endpoints that need attention the page of an application names."""
APPLICATIONS = "applications"


@router.get("/")
async def get_first(request: Request, context: Context) -> Response:
    """Show the only application, or the list of all."""
    others = await context.others(request)
    names = [*(item.name for item in context.applications.all()), *others]
    if len(names) != 1:
        return await _all(request, context, others)
    if others:
        return renderings.redirect(path_of(APPLICATIONS, names[0]))
    return await _fleet(request, context, names[0])


@router.get("/applications")
async def list_applications(request: Request, context: Context) -> Response:
    """Show all applications."""
    return await _all(request, context, await context.others(request))


@router.get("/applications/{app}")
async def get_fleet(request: Request, app: str, context: Context) -> Response:
    """Show one application: what its endpoints run, what they are offered, and what is wrong."""
    return await _fleet(request, context, app)


@router.post("/freeze")
async def freeze_all(request: Request, context: Context, by: By) -> Response:
    """Freeze all applications, or lift that freeze."""
    body = await _freeze_body(request)
    if body.frozen:
        await context.freezes.set(None, by.because(body.reason))
    else:
        await context.freezes.lift(None, by.because(body.reason))
    return renderings.redirect(path_of(APPLICATIONS))


@router.post("/applications/{app}/freeze")
async def freeze(request: Request, app: str, context: Context, by: By) -> Response:
    """Freeze an application, or lift its freeze."""
    body = await _freeze_body(request)
    if body.frozen:
        await context.freezes.set(app, by.because(body.reason))
    else:
        await context.freezes.lift(app, by.because(body.reason))
    return renderings.redirect(path_of(APPLICATIONS, app))


async def _freeze_body(request: Request) -> FreezeBody:
    given = await forms.fields(request)
    members = {"frozen": "false" if given.get("do") == "lift" else "true"}
    if "reason" in given:
        members["reason"] = json.dumps(given["reason"])
    return FreezeBody.read(members, LIMITS)


async def _all(request: Request, context: ApiContext, others: Mapping[str, Any]) -> Response:
    applications = context.applications.all()
    here = {item.name: shown(await context.observations.summary(item.name)) for item in applications}
    summaries = dict(sorted({**here, **others}.items()))
    frozen = shown(freezes.build_optional(await context.freezes.get(None)))
    return renderings.page(request, "applications.html", summaries=summaries, frozen=frozen)


async def _fleet(request: Request, context: ApiContext, app: str) -> Response:
    summary = shown(await context.observations.summary(app))
    chart = await context.observations.chart(app)
    troubles = await context.observations.attention(app, None, ATTENTION + 1)

    def link(version: str) -> str:
        return f"{path_of(APPLICATIONS, app, 'endpoints')}?{urlencode({'version': version})}"

    return renderings.page(
        request,
        "fleet.html",
        app=app,
        summary=summary,
        software=any(place.node.software is not None for place in chart.places),
        graph=svgs.draw(chart, link=link) if chart.places else None,
        attention=[shown(attentions.build(item)) for item in troubles[:ATTENTION]],
        more_attention=len(troubles) > ATTENTION,
        rollouts=await rollouts.unfinished(context, app),
        unready=context.unready(),
    )
