"""Questions to partitions, here and elsewhere; what is passed on whole is in `test_fronts`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI, Request

from orchestrator.api.forwards import Forwards, NobodyHoldsError, Question, open_forwards
from orchestrator.application.leases import Holder
from tests.contract.deadlines import eventually
from tests.unit.orchestrator.api.test_fronts import NOBODY, serving

if TYPE_CHECKING:
    import httpx2


def asking(**headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": fields})


def application() -> FastAPI:
    app = FastAPI()

    async def tell(request: Request) -> dict[str, object]:
        return {
            "method": request.method,
            "target": str(request.url.path) + "?" + request.url.query,
            "headers": dict(request.headers),
            "body": (await request.body()).decode(),
        }

    async def stuck() -> None:
        await asyncio.Event().wait()

    app.add_api_route("/stuck", stuck)
    app.add_api_route("/{path:path}", tell, methods=["GET", "POST"])
    return app


QUESTION = Question(
    request=asking(host="ota.example", cookie="c=1", if_none_match="x", content_type="application/json", te="gzip"),
    method="POST",
    path="/a%20b",
    query="x=1",
    body=b"{}",
)


def told(answer: httpx2.Response) -> dict[str, str]:
    found = json.loads(answer.content)
    assert (found["method"], found["target"], found["body"]) == ("POST", "/a b?x=1", "{}")
    headers: dict[str, str] = found["headers"]
    assert (headers["host"], headers["cookie"], headers["content-type"]) == ("ota.example", "c=1", "application/json")
    assert not {"if-none-match", "te"} & headers.keys()
    return headers


async def test_a_question_carries_the_credentials_and_no_conditions_of_the_request() -> None:
    async with open_forwards("me") as forwards, serving(application()) as there:
        here = told(await forwards.ask(QUESTION, "p2", application(), None))
        assert "otao-partition" not in here
        elsewhere = told(await forwards.ask(QUESTION, "p2", None, Holder(replica="it", address=there)))
        assert (elsewhere["otao-partition"], elsewhere["otao-forwarded-by"]) == ("p2", "me")


@pytest.mark.parametrize("holder", [None, NOBODY])
async def test_a_partition_that_nobody_answers_for_is_told_from_an_empty_answer(holder: Holder | None) -> None:
    async with open_forwards("me") as forwards:
        with pytest.raises(NobodyHoldsError):
            await forwards.ask(QUESTION, "p2", None, holder)


async def test_a_question_is_given_up_when_its_partition_has_another_holder_and_not_before() -> None:
    question = Question(request=asking(host="h"), path="/stuck")

    async def ask(forwards: Forwards, address: str) -> bool:
        try:
            await forwards.ask(question, "p2", None, Holder(replica="it", address=address))
        except NobodyHoldsError:
            return True
        return False

    async with open_forwards("me") as forwards, serving(application()) as there, asyncio.TaskGroup() as group:
        asked = group.create_task(ask(forwards, there))
        await eventually(lambda: bool(forwards._waiting), "it waits")
        forwards.give_up("main")
        await asyncio.sleep(0)
        assert not asked.done()
        forwards.give_up("p2")
        assert await asked
