"""Messages that are well formed and refused all the same.

MessageError (protocol)
├── UnknownAppVersionError   app-version-unknown (404)
├── UnknownTokenError        token-unknown (401)
├── TokenRefusedError        token-suspended, token-revoked (401)
├── IllegalEndpointIdError   endpoint-id-illegal (400)
├── FloodError               too-many-messages (429)
└── OperatorKeyError         operator-key (403)

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import MessageError

if TYPE_CHECKING:
    from orchestrator.domain.endpoints import TokenState


class UnknownAppVersionError(MessageError):
    """No application has the topic's application version."""

    code = "app-version-unknown"
    status_code = 404

    def __init__(self) -> None:
        """Say so."""
        super().__init__("no application has this application version")


class UnknownTokenError(MessageError):
    """No endpoint of the application has this token, and the application does not register new ones."""

    code = "token-unknown"
    status_code = 401

    def __init__(self) -> None:
        """Say so."""
        super().__init__("no endpoint has this token")


class TokenRefusedError(MessageError):
    """The token was suspended or revoked by an operator."""

    status_code = 401

    def __init__(self, state: TokenState) -> None:
        """Name the state."""
        super().__init__(f"the endpoint's token is {state.value}")
        self.code = f"token-{state.value}"


class IllegalEndpointIdError(MessageError):
    """Open registration takes the token as endpointId, and this token cannot be one, or names another endpoint."""

    code = "endpoint-id-illegal"
    status_code = 400

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the token cannot serve as the endpointId of a new endpoint")


class FloodError(MessageError):
    """The endpoint sends faster than it is served; its newest report is taken, the others are not."""

    code = "too-many-messages"
    status_code = 429

    def __init__(self) -> None:
        """Say what is taken all the same."""
        super().__init__("this endpoint sends more messages than it may; only the newest of them are taken")


class OperatorKeyError(MessageError):
    """An endpoint tried to write an attribute that only operators may write."""

    code = "operator-key"
    status_code = 403

    def __init__(self, key: str) -> None:
        """Name the attribute."""
        super().__init__(f"the attribute {key} is written by operators only")
