"""Operators' commands over MQTT: each is a use case that REST has too.

Rules:
- A payload is REST's body with the path's parameters as members: `version`, `endpointId`.
- `ifMatch` is REST's precondition; without it a change is made whatever the state is, as MQTT has no habit of reading
  first. `reason` says why, for the audit. Answers about one resource carry its `etag`.
- A command that comes twice in a row has the effect of one: what is as it should be stays, and what is gone is told
  to be. When somebody has changed the same thing in between, the repeat undoes that: repeats are not told apart.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from orchestrator.application import preconditions
from orchestrator.application.authors import OPERATOR_OVER_MQTT
from orchestrator.application.documents import bodies, plans, progress
from orchestrator.application.documents import endpoints as endpoint_documents
from orchestrator.application.documents import freezes as freeze_documents
from orchestrator.application.documents import software as software_documents
from orchestrator.application.documents.bodies import REASON_CHARACTERS
from orchestrator.application.documents.endpoints import RecallBody, RetryBody
from orchestrator.application.documents.freezes import FreezeBody
from orchestrator.application.preconditions import WHATEVER, Precondition
from orchestrator.application.problems import MemberError, NotFoundError
from orchestrator.domain.versions import Version
from protocol import payloads
from protocol.controls import Command
from protocol.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from orchestrator.application.authors import Author
    from orchestrator.application.definitions import Definitions
    from orchestrator.application.documents.texts import Document, Node
    from orchestrator.application.endpoints import Endpoints
    from orchestrator.application.freezes import Freezes
    from orchestrator.application.observations import Observations
    from orchestrator.application.plans import Plans
    from orchestrator.application.records import EndpointDocument, SoftwareRecord
    from orchestrator.application.rollouts import Moved, Rollouts
    from protocol.controls import ControlRequest
    from protocol.payloads import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What commands do."""

    definitions: Definitions
    endpoints: Endpoints
    freezes: Freezes
    observations: Observations
    plans: Plans
    rollouts: Rollouts
    now: Callable[[], datetime]
    """The service's clock."""


class _Members:
    """The members of a command, each taken once."""

    def __init__(self, request: ControlRequest, limits: Limits) -> None:
        self.application = request.address.application
        self.command = request.address.command
        self.limits = limits
        self.left = dict(request.members)

    def text(self, name: str) -> str | None:
        """Take a string; None when it is absent or null."""
        given = self.left.pop(name, None)
        value = None if given is None else payloads.storable(payloads.decode(given.encode(), self.limits))
        if value is not None and not isinstance(value, str):
            raise MemberError(f"{quoted(name)}: must be a string", "member-type")
        return value

    def required(self, name: str) -> str:
        """Take a string that must be there."""
        value = self.text(name)
        if value is None:
            raise MemberError(f"the member {quoted(name)} is required", "member-missing")
        return value

    def version(self) -> Version:
        """Take the version that is spoken of."""
        return Version.parse(self.required("version"))

    def precondition(self) -> Precondition:
        """Take what the command requires of the resource."""
        tag = self.text("ifMatch")
        return WHATEVER if tag is None else Precondition(tags=frozenset({tag}))

    def author(self) -> Author:
        """Take the reason: who does it, and why."""
        reason = self.text("reason")
        if reason is not None and len(reason) > REASON_CHARACTERS:
            raise MemberError(f"'reason': must have at most {REASON_CHARACTERS} characters")
        return OPERATOR_OVER_MQTT.because(reason)

    def done(self) -> None:
        """Pass when nothing is left.

        Raises:
            MemberError: something is.
        """
        for name in self.left:
            raise MemberError(f"the member {quoted(name)} is unknown here", "member-unknown")


class MoveRollout(Protocol):
    """What operators do with a rollout."""

    async def __call__(self, application: str, version: Version, *, by: Author) -> Moved:
        """Do it; return what has become of the rollout."""


class Executor(Protocol):
    """What executes commands."""

    async def execute(self, request: ControlRequest) -> Node:
        """Execute a command; return what to answer."""


class Commands:
    """Executes commands."""

    def __init__(self, use_cases: UseCases, limits: Limits) -> None:
        """Take what they do; `limits` are those of payloads."""
        self._definitions = use_cases.definitions
        self._endpoints = use_cases.endpoints
        self._freezes = use_cases.freezes
        self._observations = use_cases.observations
        self._plans = use_cases.plans
        self._rollouts = use_cases.rollouts
        self._now = use_cases.now
        self._limits = limits
        self._ways: dict[Command, Callable[[_Members], Awaitable[Node]]] = {
            Command.SOFTWARE_LIST: self._list_software,
            Command.SOFTWARE_GET: self._get_software,
            Command.SOFTWARE_PUT: self._put_software,
            Command.SOFTWARE_DELETE: self._delete_software,
            Command.SOFTWARE_RECALL: self._recall_software,
            Command.ENDPOINT_GET: self._get_endpoint,
            Command.ENDPOINT_EXPLAIN: self._explain_endpoint,
            Command.ENDPOINT_RETRY: self._retry_endpoint,
            Command.FLEET_SUMMARY: self._summarize,
            Command.PLAN: self._plan,
            Command.FREEZE: self._freeze,
            Command.UNFREEZE: self._unfreeze,
            Command.ROLLOUT_GET: self._get_rollout,
            Command.ROLLOUT_PAUSE: partial(self._move_rollout, self._rollouts.pause),
            Command.ROLLOUT_RESUME: partial(self._move_rollout, self._rollouts.resume),
            Command.ROLLOUT_ABORT: partial(self._move_rollout, self._rollouts.abort),
            Command.ROLLOUT_APPROVE: self._approve_rollout,
        }

    async def execute(self, request: ControlRequest) -> Node:
        """Execute a command; return what to answer.

        Raises:
            RequestError, PayloadError, DomainError, VersionConflict: it is refused and has changed nothing.
            StorageError: the database could not do it.
        """
        return await self._ways[request.address.command](_Members(request, self._limits))

    async def _list_software(self, given: _Members) -> Node:
        given.done()
        return [software_documents.build(record) for record in self._definitions.all(given.application)]

    async def _get_software(self, given: _Members) -> Node:
        version = given.version()
        given.done()
        return _software(self._definitions.get(given.application, version))

    async def _put_software(self, given: _Members) -> Node:
        version, required, by = given.version(), given.precondition(), given.author()
        try:
            present = software_documents.build(self._definitions.get(given.application, version))
        except NotFoundError:
            present = {}
        members = bodies.without_read_only(given.left, software_documents.READ_ONLY, present, given.limits)
        definition = software_documents.read(members, given.limits)
        defined = await self._definitions.put(given.application, version, definition, required, by=by)
        return {**_software(defined.record), "created": defined.created, "withdrawn": defined.withdrawn}

    async def _delete_software(self, given: _Members) -> Node:
        version, required, by = given.version(), given.precondition(), given.author()
        given.done()
        return {"withdrawn": await self._definitions.delete(given.application, version, required, by=by)}

    async def _recall_software(self, given: _Members) -> Node:
        version = given.version()
        body = RecallBody.read(given.left, given.limits)
        by = OPERATOR_OVER_MQTT.because(body.reason)
        defined = await self._definitions.recall(given.application, version, by=by)
        return {**_software(defined.record), "withdrawn": defined.withdrawn}

    async def _get_endpoint(self, given: _Members) -> Node:
        endpoint_id = given.required("endpointId")
        given.done()
        return self._endpoint(given, await self._endpoints.get(given.application, endpoint_id))

    async def _explain_endpoint(self, given: _Members) -> Node:
        endpoint_id = given.required("endpointId")
        given.done()
        return await self._observations.explanation(given.application, endpoint_id)

    async def _retry_endpoint(self, given: _Members) -> Node:
        endpoint_id, by = given.required("endpointId"), given.author()
        body = RetryBody.read(given.left, given.limits)
        version = None if body.version is None else Version.parse(body.version)
        return self._endpoint(given, await self._endpoints.retry(given.application, endpoint_id, version, by=by))

    async def _summarize(self, given: _Members) -> Node:
        given.done()
        return await self._observations.summary(given.application)

    async def _plan(self, given: _Members) -> Node:
        return await self._plans.plan(given.application, plans.read(given.left, given.limits))

    async def _freeze(self, given: _Members) -> Node:
        body = FreezeBody.read(given.left, given.limits)
        return await self._change_freeze(given, body.reason, frozen=body.frozen)

    async def _unfreeze(self, given: _Members) -> Node:
        by = given.author()
        given.done()
        return await self._change_freeze(given, by.reason, frozen=False)

    async def _change_freeze(self, given: _Members, reason: str | None, *, frozen: bool) -> Document:
        by = OPERATOR_OVER_MQTT.because(reason)
        change = self._freezes.set if frozen else self._freezes.lift
        changed = await change(given.application, by)
        return {**freeze_documents.build(changed.freeze), "withdrawn": changed.withdrawn}

    async def _get_rollout(self, given: _Members) -> Node:
        version = given.version()
        given.done()
        return progress.build(await self._rollouts.get(given.application, version), self._now())

    async def _move_rollout(self, move: MoveRollout, given: _Members) -> Node:
        version, by = given.version(), given.author()
        given.done()
        return await self._moved(given, await move(given.application, version, by=by))

    async def _approve_rollout(self, given: _Members) -> Node:
        version, body = given.version(), progress.ApprovalBody.read(given.left, given.limits)
        by = OPERATOR_OVER_MQTT.because(body.reason)
        moved = await self._rollouts.approve(given.application, version, stage=body.stage, by=by)
        return await self._moved(given, moved)

    async def _moved(self, given: _Members, moved: Moved) -> Node:
        view = await self._rollouts.get(given.application, moved.record.software.version)
        return progress.build_moved(view, self._now(), moved)

    def _endpoint(self, given: _Members, document: EndpointDocument) -> Document:
        content = endpoint_documents.build(document, self._endpoints.entry(given.application))
        return {**content, "etag": preconditions.tag_of(document, document.record.endpoint.registered_at)}


def _software(record: SoftwareRecord) -> Document:
    return {**software_documents.build(record), "etag": preconditions.tag_of(record, record.created_at)}
