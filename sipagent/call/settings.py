"""What a call is to be like, from its answer to its end."""

from dataclasses import dataclass, field

from sipagent.call.budget import BudgetSettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.farewell import FarewellSettings
from sipagent.call.privacy import PrivacySettings
from sipagent.call.silence import SilenceSettings
from sipagent.call.transfer import TransferSettings
from sipagent.call.watchdog import DeadAirSettings


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What this call is to be like."""

    conversation: ConversationSettings
    max_call_s: float = 3300.0
    """After that long the agent says goodbye. The model ends a session after an hour, and more abruptly."""
    warn_s: float | None = None
    """So long before that the agent says so; ``None`` for not at all."""
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    """What the call may cost; when it is spent the agent says goodbye."""
    silence: SilenceSettings | None = None
    """What is done about a caller who says nothing any more; ``None`` for nothing."""
    dead_air: DeadAirSettings = field(default_factory=DeadAirSettings)
    """What is done about a caller of whom nothing comes."""
    records: bool = False
    recording_tone: bool = False
    """Whether the caller is reminded of it by a beep."""
    hears_keys: bool = False
    """Whether keys are looked for in the caller's audio, too."""
    farewell: FarewellSettings = field(default_factory=FarewellSettings)
    """What becomes of it when there is no model."""
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    """What is not told to logs and followers."""
    transfer: TransferSettings | None = None
    """Where the model may hand the call on to."""
