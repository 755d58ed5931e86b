"""What is refused becomes a page, with REST's status and words."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, Response
from httpx2 import ASGITransport, AsyncClient

from orchestrator.application.ports import StorageError
from orchestrator.application.problems import ConflictError, NotFoundError
from orchestrator.dashboard import routes
from tests.unit.orchestrator.dashboard.visits import check_headers, read


async def answer(error: Exception | None) -> tuple[int, str]:
    router = routes.router()

    @router.get("/")
    async def show(number: int = 0) -> Response:
        if error is not None:
            raise error
        return Response(f"fine {number}")

    app = FastAPI()
    app.include_router(router)
    path = "/" if error is not None else "/?number=x"
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://localhost") as client:
        response = await client.get(path)
        assert app.openapi()["paths"] == {}
    check_headers(response)
    return response.status_code, read(response.text).text


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotFoundError("endpoint", "<b>"), 404, "Not Found there is no endpoint '<b>' endpoint-not-found"),
        (ConflictError("it is so"), 409, "Conflict it is so conflict"),
        (StorageError("secret", transient=True), 503, "the database could not do it; try again storage-error"),
        (None, 400, "the parameter 'number' is wrong"),
    ],
)
async def test_a_refusal_is_a_page(error: Exception | None, status: int, words: str) -> None:
    code, text = await answer(error)
    assert code == status
    assert words.replace("'", "").replace('"', "") in text.replace("'", "").replace('"', "")
    assert "secret" not in text


async def test_an_error_of_ours_is_left_to_the_guard() -> None:
    with pytest.raises(ZeroDivisionError):
        await answer(ZeroDivisionError())
