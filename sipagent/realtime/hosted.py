"""Tools of MCP servers that the model reaches itself: what it tells of them, and whether it goes on by itself.

The model's server runs them within a response, but may end the response there. Then it says nothing more, and the
caller hears nothing, until it is asked for a response.
"""

from typing import Final, TypeAlias

from sipagent.realtime.events import ApprovalRequested, HostedCallAnswered, HostedCallDone
from sipagent.realtime.protocol import Event, identifier, text
from sipagent.recent import remember

MAX_REQUESTS: Final = 64
"""How many approval requests are remembered, so that a repeated event asks nobody twice."""

HostedOutput: TypeAlias = HostedCallDone | HostedCallAnswered | ApprovalRequested


class HostedCalls:
    """Reads the items of responses for them."""

    def __init__(self) -> None:
        self._unanswered: str | None = None  # the response that has ended with such a call, as far as we know
        self._requests: list[str] = []

    def read(self, item: Event, response_id: str) -> HostedOutput | None:
        """Take an item that is complete; say what it means, if anything."""
        match item.get("type"):
            case "mcp_call":
                self._unanswered = response_id
                return _call(item, response_id)
            case "mcp_approval_request":
                return self._request(item, response_id)
            case "message" if self._unanswered == response_id:
                self._unanswered = None
                return HostedCallAnswered(response_id)
            case _:
                return None

    def _request(self, item: Event, response_id: str) -> ApprovalRequested | None:
        request_id = identifier(item, "id")
        if not request_id or request_id in self._requests:
            return None
        remember(self._requests, request_id, MAX_REQUESTS)
        name, server = identifier(item, "name"), identifier(item, "server_label")
        return ApprovalRequested(request_id, server, name, text(item, "arguments"), response_id)


def approval_response(approval_request_id: str, is_given: bool, reason: str) -> Event:
    """The item that answers a request for approval."""
    item = {"type": "mcp_approval_response", "approval_request_id": approval_request_id, "approve": is_given}
    return item | {"reason": reason} if reason else item


def _call(item: Event, response_id: str) -> HostedCallDone:
    error = item.get("error")
    if isinstance(error, dict):
        output = text(error, "message") or "it failed"
    else:
        output = error if isinstance(error, str) and error else text(item, "output")
    server, name = identifier(item, "server_label"), identifier(item, "name")
    return HostedCallDone(server, name, text(item, "arguments"), output, response_id)
