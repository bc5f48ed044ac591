"""The server's side of the wire: event and object ids, events as JSON, and the error a bad request deserves."""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import deque
from random import Random
from typing import Any, TypeAlias

import msgspec

from sipagent.errors import RemoteProtocolError
from sipagent.realtime.local.events import Output, Send

Json: TypeAlias = dict[str, Any]

MAX_EVENT_BYTES = 20 * 1024 * 1024
"""One append may carry 15 MiB of audio, which is 20 MiB of base64."""


class RequestError(RemoteProtocolError):
    """A client event that the API refuses; the session goes on.

    :param code: the API's code for it, ``None`` where the API gives none.
    :param param: the field at fault, as a dotted path.
    """

    def __init__(
        self, message: str, *, code: str | None, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.kind = kind


def missing(path: str) -> RequestError:
    """A required field is not there."""
    return RequestError(f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path)


def wrong_type(path: str, expected: str) -> RequestError:
    """A field is of the wrong JSON type."""
    return RequestError(f"Invalid type for '{path}': expected {expected}.", code="invalid_type", param=path)


def parse_event(text: str | bytes) -> Json:
    """Read one client event.

    :raises RequestError: it is not a JSON object with a string ``type``, or is larger than :data:`MAX_EVENT_BYTES`.
    """
    if len(text) > MAX_EVENT_BYTES:
        raise RequestError("The event is too large.", code="invalid_event")
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError("The event is not valid JSON.", code="invalid_json") from error
    if not isinstance(event, dict):
        raise RequestError("The event is not a JSON object.", code="invalid_event")
    if not isinstance(event.get("type"), str):
        raise RequestError("The 'type' field is missing.", code="invalid_event", param="type")
    return event


def parse_audio(value: object, path: str) -> bytes:
    """Read base64 audio.

    :raises RequestError: it is absent, no string, or no base64.
    """
    if value is None:
        raise missing(path)
    if not isinstance(value, str):
        raise wrong_type(path, "a base64-encoded string")
    try:
        return a2b_base64(value, strict_mode=True)
    except (Base64Error, ValueError) as error:
        message = f"Invalid '{path}'. Expected base64-encoded audio bytes."
        raise RequestError(message, code="invalid_value", param=path) from error


class Channel:
    """The outputs of one session in their order, and its supply of ids; ids repeat for the same seed."""

    def __init__(self, random: Random) -> None:
        self._prefix = f"{random.getrandbits(48):012x}"
        self._serial = 0
        self._encode = msgspec.json.Encoder().encode
        self._outputs: deque[Output] = deque()

    def make_id(self, kind: str) -> str:
        """A new id, such as ``item_…`` for the kind ``item``."""
        self._serial += 1
        return f"{kind}_{self._prefix}{self._serial:06x}"

    def make_request_id(self) -> int:
        """A new number for a request to the shell."""
        self._serial += 1
        return self._serial

    def send(self, kind: str, /, **fields: Any) -> None:
        """Send the event of type ``kind``; fields of bytes become base64."""
        self.push(Send(self._encode({"type": kind, "event_id": self.make_id("event"), **fields})))

    def send_error(self, error: RequestError, event_id: object = None) -> None:
        """Send an ``error`` event that answers the client event ``event_id``."""
        body = {"type": error.kind, "code": error.code, "message": str(error), "param": error.param}
        echoed = event_id if isinstance(event_id, str) else None
        self.send("error", error={**body, "event_id": echoed})

    def push(self, output: Output) -> None:
        """Queue an output for the shell."""
        self._outputs.append(output)

    def poll(self) -> Output | None:
        """The next output, or ``None``."""
        return self._outputs.popleft() if self._outputs else None
