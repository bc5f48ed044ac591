"""The model behind the embedded Live server: its delegations, in the events of the Responses API, one at a time."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sipagent.realtime.local.wire import Channel, RequestError


class LiveBackend:
    """Calls functions of the client's, and goes on when it is told to."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._names: dict[str, str] = {}
        self._unanswered: set[str] = set()
        self._delegation_id = ""

    def call(self, name: str, arguments: Mapping[str, Any], *, offset_ms: int) -> str:
        """Delegate a task that comes to one call of a function; return the arguments as they are written."""
        response_id = self._channel.make_id("resp")
        if not self._delegation_id:
            self._delegation_id = self._channel.make_id("dlg")
            about = {"id": self._delegation_id, "type": "delegation", "target": "responses", "response_id": response_id}
            self._channel.send("session.delegation.created", delegation=about, offset_ms=offset_ms)
        written = msgspec.json.encode(arguments).decode()
        call_id = self._channel.make_id("call")
        self._names[call_id] = name
        self._unanswered.add(call_id)
        item = {"id": self._channel.make_id("fc"), "type": "function_call", "call_id": call_id, "name": name}
        self._tell("response.created", response={"id": response_id, "status": "in_progress"})
        self._tell(
            "response.output_item.added", output_index=0, item={**item, "arguments": "", "status": "in_progress"}
        )
        done = {**item, "arguments": written, "status": "completed"}
        self._tell("response.function_call_arguments.done", item_id=item["id"], output_index=0, arguments=written)
        self._tell("response.output_item.done", output_index=0, item=done)
        self._tell("response.completed", response={"id": response_id, "status": "completed", "output": []})
        return written

    def answer(self, call_id: str) -> str:
        """Take note of a function's output; return the function's name.

        :raises RequestError: nobody called it.
        """
        if call_id not in self._unanswered:
            message = f"No tool call found for function call output with call_id {call_id}."
            raise RequestError(message, code="invalid_tool_call_id", param="item.call_id")
        self._unanswered.discard(call_id)
        return self._names[call_id]

    def go_on(self) -> None:
        """Read what was answered.

        :raises RequestError: not all that it asked for is there.
        """
        if self._unanswered:
            missing = ", ".join(sorted(self._unanswered))
            raise RequestError(f"No tool output found for function call {missing}.", code="missing_tool_output")
        response_id = self._channel.make_id("resp")
        self._tell("response.created", response={"id": response_id, "status": "in_progress"})
        self._tell("response.completed", response={"id": response_id, "status": "completed", "output": []})
        self._delegation_id = ""

    def _tell(self, kind: str, **fields: Any) -> None:
        self._channel.send("response.event", event={"type": kind, **fields}, delegation_id=self._delegation_id)
