"""How the embedded model behaves: its key, its pace, its patience, its faults."""

from dataclasses import dataclass, field

from sipagent.realtime.local.faults import FaultScript


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """The same for all sessions of one server."""

    api_key: str | None = None
    """The key a client must bear; ``None`` lets everybody in."""
    pace: float = 8.0
    """How many times faster than real time audio is sent; infinity sends it as soon as it is spoken."""
    delta_ms: int = 200
    """Milliseconds of audio in one delta."""
    first_delta_s: float = 0.1
    """Seconds from the moment the model knows what to say to its first delta."""
    max_session_s: float = 3600.0
    """The API ends a session after an hour."""
    utc_offset_s: int = 0
    """Seconds east of Greenwich, for telling the time."""
    faults: FaultScript = field(default_factory=FaultScript)
