"""Signing in with an API key, and out.

Rules:
- The key itself is not kept: the browser gets a cookie that stands for it, which no script reads, no other site sends,
  and which crosses an encrypted connection only where there is one.

Spec: RFC 6265bis for `SameSite`.
Layer: dashboard.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from orchestrator.api import sessions
from orchestrator.api.access import LOGIN, Access
from orchestrator.dashboard import forms, renderings, routes

router = routes.router()

Next = Annotated[str | None, Query(alias="next", description="Where to go on.")]


@router.get(LOGIN)
async def get_login(request: Request, wanted: Next = None) -> Response:
    """Ask for a key, where one is needed."""
    target = forms.way_back(wanted)
    if _access(request) is None or not request.state.key_required:
        return renderings.redirect(target)
    return renderings.page(request, "login.html", target=target, wrong=False)


@router.post(LOGIN)
async def post_login(request: Request) -> Response:
    """Begin a session for the key that was given."""
    given = await forms.fields(request)
    target = forms.way_back(given.get("next"))
    access = _access(request)
    if access is None:
        return renderings.redirect(target)
    session = access.sign_in(given.get("key", ""))
    if session is None:
        return renderings.page(request, "login.html", status=403, target=target, wrong=True)
    response = renderings.redirect(target)
    response.set_cookie(
        sessions.COOKIE,
        session,
        max_age=sessions.SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
async def post_logout(request: Request) -> Response:
    """End the session."""
    access = _access(request)
    if access is not None:
        await access.sign_out(request.cookies.get(sessions.COOKIE, ""))
    response = renderings.redirect(LOGIN)
    response.delete_cookie(sessions.COOKIE, httponly=True, samesite="strict")
    return response


def _access(request: Request) -> Access | None:
    access: Access | None = request.app.state.access
    return access
