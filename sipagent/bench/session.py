"""What fake models have in common: a connection that greets, confirms what it is asked for, and hands out the rest."""

from abc import abstractmethod
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from sipagent.realtime.protocol import append_audio

APPEND = append_audio(b"").removesuffix(b'"}')
"""How a message with the caller's audio begins."""
APPEND_END = b'"}'

encode = msgspec.json.encode


class ModelSession(WSListener):
    """One connection of the Realtime protocol; audio, which is nearly all that comes, is not parsed as JSON."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._session: dict[str, Any] = {"id": f"sess_{number}", "object": "realtime.session", "type": "realtime"}

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The server speaks first."""
        self._transport = transport
        self._send({"type": "session.created", "session": self._session})

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an event."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type is WSMsgType.TEXT:
            message = frame.get_payload_as_bytes()
            if message.startswith(APPEND):
                self._on_append(message)
            else:
                self._on_event(msgspec.json.decode(message))

    @abstractmethod
    def _on_append(self, message: bytes) -> None:
        """Take a message with audio."""

    def _on_event(self, event: dict[str, Any]) -> None:
        """Take an event that is no audio."""
        if event["type"] == "session.update":
            self._session |= event["session"]
            self._send({"type": "session.updated", "session": self._session})

    def _send(self, event: dict[str, Any]) -> None:
        self._transport.send(WSMsgType.TEXT, encode(event))
