"""The pages, joined with the web application that answers REST.

Layer: dashboard.
"""

from __future__ import annotations

from fastapi import FastAPI

from orchestrator.api.access import Access
from orchestrator.dashboard import assets, endpoints, fleets, logins, rollouts


def install(app: FastAPI, *, access: Access | None = None) -> None:
    """Have the application answer people, too; `access` is what keeps others out of it."""
    app.state.access = access
    for module in (assets, endpoints, fleets, logins, rollouts):
        app.include_router(module.router)
