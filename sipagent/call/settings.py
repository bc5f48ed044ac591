"""What a call is to be like, from its answer to its end."""

from dataclasses import dataclass, field

from sipagent.call.conversation import ConversationSettings
from sipagent.call.transfer import TransferSettings
from sipagent.call.watchdog import DeadAirSettings


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What this call is to be like."""

    conversation: ConversationSettings
    max_call_s: float = 3300.0
    """After that long the agent says goodbye. The model ends a session after an hour, and more abruptly."""
    dead_air: DeadAirSettings = field(default_factory=DeadAirSettings)
    """What is done about a caller of whom nothing comes."""
    records: bool = False
    recording_tone: bool = False
    """Whether the caller is reminded of it by a beep."""
    hears_keys: bool = False
    """Whether keys are looked for in the caller's audio, too."""
    transfer: TransferSettings | None = None
    """Where the model may hand the call on to."""
