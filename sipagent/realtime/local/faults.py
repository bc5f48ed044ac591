"""The fault script: which misfortunes the embedded model plays to its client, and when.

A script is text, its faults divided by semicolons: ``stall on=2 after_ms=400; refuse_handshake status=429 on=1``;
``drop connection=1 after_ms=300`` strikes the first connection only.
"""

from dataclasses import dataclass, fields

from sipagent.errors import ConfigError

KINDS = {
    "refuse_handshake": "answer the WebSocket handshake with HTTP `status` instead; `on` counts connections",
    "slow_session": "send session.created `seconds` late; `on` counts connections",
    "refuse_session": "send the error `code` in place of session.created and close; `on` counts connections",
    "slow_update": "send session.updated `seconds` late; `on` counts updates",
    "refuse_update": "answer session.update with the error `code`; `on` counts updates",
    "wrong_format": "echo audio/pcm in session.updated whatever was asked; `on` counts updates",
    "expire": "end the session after `seconds`; `on` counts connections",
    "strange_events": "send events and fields of no known type beside the others; `on` counts connections",
    "slow_created": "send response.created `seconds` late; `on` counts responses",
    "slow_first_delta": "send the first delta `seconds` later; `on` counts responses",
    "stall": "fall silent `after_ms` of audio, for `seconds` or, when 0, for good; `on` counts responses",
    "fail": "end the response as failed with `code` `after_ms` of audio; `on` counts responses",
    "drop": "break the connection `after_ms` of audio; `on` counts responses",
}
"""Every kind of fault and what it does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune; see :data:`KINDS` for which fields a kind reads."""

    kind: str
    on: int = 0
    """Which one it strikes, counted from 1, updates and responses in each connection; 0 strikes every one."""
    connection: int = 0
    """In which connection it strikes, counted from 1; 0: in every one."""
    seconds: float = 0.0
    after_ms: int = 0
    status: int = 429
    code: str = "server_error"


@dataclass(frozen=True, slots=True)
class FaultScript:
    """The faults of a run; an empty script is a healthy model."""

    faults: tuple[Fault, ...] = ()

    def find(self, kind: str, number: int) -> Fault | None:
        """The first fault of ``kind`` that strikes the ``number``-th connection, update or response."""
        return next((fault for fault in self.faults if fault.kind == kind and fault.on in (0, number)), None)

    def within(self, connection: int) -> "FaultScript":
        """What of it concerns the connection of this number."""
        return FaultScript(tuple(fault for fault in self.faults if fault.connection in (0, connection)))

    @classmethod
    def parse(cls, text: str) -> "FaultScript":
        """Read a script.

        :raises ConfigError: a kind, a field or a value that is not known.
        """
        return cls(tuple(_parse_fault(part.split()) for part in text.split(";") if part.strip()))


def _parse_fault(words: list[str]) -> Fault:
    kind, *assignments = words
    if kind not in KINDS:
        raise ConfigError(f"no fault is named '{kind}'; there are {', '.join(KINDS)}")
    types = {field.name: field.type for field in fields(Fault) if field.name != "kind"}
    values: dict[str, str | int | float] = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in types:
            raise ConfigError(f"fault '{kind}': '{name}' is not one of {', '.join(types)}")
        convert = types[name]
        try:
            values[name] = convert(value) if callable(convert) else value
        except ValueError as error:
            raise ConfigError(f"fault '{kind}': {name}={value} is not a number") from error
    return Fault(kind, **values)  # type: ignore[arg-type]
