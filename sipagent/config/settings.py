"""Every setting there is, with its default; ``config.yaml`` says what each is for.

A key without a default must be given. Milliseconds end in ``_ms``, seconds in ``_s``.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from sipagent.audio import silero
from sipagent.call.silence import ASK
from sipagent.config.agent_settings import HoursConfig, KnowledgeConfig, PrivacyConfig, RouteConfig, Words, Zone
from sipagent.config.engine import EngineConfig
from sipagent.config.tool_settings import ApprovalConfig, HoldConfig, McpConfig, MessagesConfig, ToolConfig
from sipagent.config.values import (
    Announcement,
    Delivery,
    Endpoint,
    Filler,
    Host,
    ListenAddress,
    Network,
    PortRange,
    Secret,
    Server,
    ToolReference,
)
from sipagent.sdp.formats import Codec
from sipagent.sdp.negotiation import DEFAULT_CODECS, SrtpMode
from sipagent.sip.guard import SCANNERS
from sipagent.sip.targets import DEFAULT_ALLOW

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Pattern: TypeAlias = Text
"""Of :mod:`sipagent.sip.targets`."""


class SafetyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What strangers may do."""

    strangers: Literal["refuse", "ignore"] = "refuse"
    realm: Text = "sipagent"
    rate: Annotated[float, Meta(ge=1, le=10_000)] = 10.0
    total_rate: Annotated[float, Meta(ge=1, le=100_000)] = 200.0
    ban_after: Annotated[int, Meta(ge=1, le=1_000)] = 5
    ban_window_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    ban_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 900.0
    scanners: tuple[Text, ...] = SCANNERS
    pin_source: bool = False


class TlsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The certificates of SIP's connections, all of them files in PEM."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    verify: bool = True
    client_certificate: Path | None = None
    client_key: Path | None = None
    require_client_certificate: bool = False


class SipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where telephones reach us."""

    listen: Annotated[tuple[ListenAddress, ...], Meta(min_length=1)] = (
        ListenAddress("UDP", "0.0.0.0", 5060),
        ListenAddress("TCP", "0.0.0.0", 5060),
    )
    tls: TlsConfig = field(default_factory=TlsConfig)
    origins: tuple[Text, ...] = ()
    external_address: Host | None = None
    stun: Server | None = None
    max_calls: Annotated[int, Meta(ge=1, le=10_000)] | Literal["auto"] = 500
    user_agent: Text = "sipagent"
    reliable_ringing: bool = False
    safety: SafetyConfig = field(default_factory=SafetyConfig)


class RtpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where their audio reaches us."""

    ports: PortRange = PortRange(10_000, 19_999)
    external_address: Host | None = None


class DeadAirConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done when nothing comes from a caller, neither sound nor RTCP, and in how many seconds."""

    warn_s: Annotated[float, Meta(ge=1, le=86_400)] = 5.0
    probe_s: Annotated[float, Meta(ge=1, le=86_400)] = 20.0
    hang_up_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0


class LineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A way in and out: an extension of a PBX, a trunk, or whoever dials us; and which agent takes its calls."""

    name: Text
    agent: Text
    domain: Server | None = None
    user: Text | None = None
    password: Secret = field(default_factory=Secret)
    auth_user: Text | None = None
    realm: Text | None = None
    caller_id: Text | None = None
    anonymous: bool = False
    register: bool = True
    registrars: tuple[Server, ...] = ()
    outbound_proxy: Server | None = None
    transport: Literal["udp", "tcp", "tls", "ws", "wss"] | None = None
    expires_s: Annotated[int, Meta(ge=30, le=86_400)] = 300
    keep_alive: Literal["auto", "crlf", "stun", "options", "off"] = "auto"
    keep_alive_s: Annotated[float, Meta(ge=5, le=600)] = 25.0
    external_address: Host | None = None
    peers: tuple[Network, ...] = ()
    callers: dict[str, Secret] = field(default_factory=dict)
    ring_limit_s: Annotated[float, Meta(ge=1, le=600)] = 180.0
    redirects: Annotated[int, Meta(ge=0, le=5)] = 0
    routes: tuple[RouteConfig, ...] = ()
    allow_out: tuple[Pattern, ...] = DEFAULT_ALLOW
    allow_transfer: tuple[Pattern, ...] = DEFAULT_ALLOW
    deny: tuple[Pattern, ...] = ()
    allow_premium: bool = False
    country: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,2}$")] | None = None
    session_timer: Literal["off", "accept", "on"] = "accept"
    session_expires_s: Annotated[int, Meta(ge=90, le=86_400)] = 1_800
    session_min_s: Annotated[int, Meta(ge=90, le=7_200)] = 90
    dtmf: Literal["auto", "info"] = "auto"
    dtmf_in_band: bool = False
    codecs: Annotated[tuple[Codec, ...], Meta(min_length=1)] = DEFAULT_CODECS
    srtp: SrtpMode = "off"
    dead_air: DeadAirConfig = field(default_factory=DeadAirConfig)

    @property
    def registers(self) -> bool:
        """Whether it makes itself known to a registrar: it has whom to tell, and a name."""
        return self.register and self.domain is not None and self.user is not None


class ServerTurnConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model finds the ends of turns, where that is left to it."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"


class TurnConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """When the caller has begun, and has finished, speaking."""

    detection: Literal["local", "server", "hybrid"] = "local"
    server: ServerTurnConfig = field(default_factory=ServerTurnConfig)
    vad: Literal["auto", "energy", "silero", "fused"] = "auto"
    start_ms: Annotated[int, Meta(ge=10, le=1000)] = 40
    end_silence_ms: Annotated[int, Meta(ge=100, le=5000)] = 500
    min_end_silence_ms: Annotated[int, Meta(ge=100, le=5000)] = 300
    max_end_silence_ms: Annotated[int, Meta(ge=100, le=5000)] = 1000
    preroll_ms: Annotated[int, Meta(ge=0, le=2000)] = 300
    max_turn_ms: Annotated[int, Meta(ge=1000, le=600_000)] = 60_000

    @property
    def detector(self) -> Literal["energy", "silero", "fused"]:
        """What tells speech: where it is left to us, the best there is."""
        if self.vad != "auto":
            return self.vad
        return "fused" if silero.is_available() else "energy"


class BargeInConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the caller may interrupt the agent."""

    enabled: bool = True
    confirm_ms: Annotated[int, Meta(ge=20, le=3000)] = 600
    resume_ms: Annotated[int, Meta(ge=100, le=1000)] = 240
    guard_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    echo_guard: bool = True
    backchannels: tuple[Text, ...] = ()


class ThinkingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the caller hears while the agent thinks."""

    sound: Filler = Filler("none")
    level_dbfs: Annotated[float, Meta(ge=-70, le=-10)] = -50.0
    after_ms: Annotated[int, Meta(ge=0, le=10_000)] = 800
    phrase: Text | None = None
    phrase_after_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1_000


class ContinuityConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done when the model fails, stalls or comes to the end of its session."""

    give_up_s: Annotated[float, Meta(ge=0, le=600)] = 20.0
    engines: tuple[Text, ...] = ()
    stalled_s: Annotated[float, Meta(ge=0.5, le=60)] = 2.0
    lost_s: Annotated[float, Meta(ge=1, le=120)] = 8.0
    filler: Filler = Filler("noise")
    level_dbfs: Annotated[float, Meta(ge=-70, le=-10)] = -45.0
    apology: Announcement | None = None
    then: Text = "hang_up"
    message_s: Annotated[float, Meta(ge=1, le=600)] = 60.0
    refer_to: Text | None = None


class SilenceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about a caller who says nothing any more."""

    prompt_s: Annotated[float, Meta(ge=1, le=3_600)] | None = 10.0
    prompts: Annotated[int, Meta(ge=0, le=100)] = 2
    instructions: Text = ASK


class TransferConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an agent may hand calls on to."""

    destinations: dict[str, Text] = field(default_factory=dict)
    allow_any: bool = False
    limit_s: Annotated[float, Meta(ge=5, le=600)] = 45.0


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Who talks to the caller."""

    engine: Text
    instructions: Words = Words("")
    sdk: ToolReference | None = None
    greeting: Words | None = None
    greeting_by: Delivery = Delivery("instructions")
    greeting_after: Literal["answer", "caller"] = "answer"
    description: Text | None = None
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    hand_over: tuple[Text, ...] = ()
    voice: Text = "marin"
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] = 1.0
    language: Text | None = None
    keywords: Annotated[tuple[Text, ...], Meta(max_length=1_000)] = ()
    noise_reduction: Literal["near_field", "far_field"] | None = None
    tools: tuple[ToolReference, ...] = (ToolReference("hang_up"),)
    turn: TurnConfig = field(default_factory=TurnConfig)
    barge_in: BargeInConfig = field(default_factory=BargeInConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    caller_data: bool = True
    silence: SilenceConfig = field(default_factory=SilenceConfig)
    max_call_s: Annotated[float, Meta(ge=1, le=86_400)] = 3300.0
    warn_s: Annotated[float, Meta(ge=1, le=3_600)] | None = 60.0
    max_cost_usd: Annotated[float, Meta(ge=0.001, le=10_000)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    record: bool = False
    record_tone: bool = False
    announcement: Announcement | None = None
    thinking: ThinkingConfig = field(default_factory=ThinkingConfig)
    hold: HoldConfig = field(default_factory=HoldConfig)
    continuity: ContinuityConfig = field(default_factory=ContinuityConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)


class ControlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Health, readiness and metrics over HTTP."""

    listen: Endpoint = Endpoint("127.0.0.1", 8080)


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class RecordingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the recordings of calls go, and as what."""

    directory: Path = Path("build/recordings")
    format: Literal["wav", "ogg"] = "wav"


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    sip: SipConfig = field(default_factory=SipConfig)
    rtp: RtpConfig = field(default_factory=RtpConfig)
    lines: Annotated[tuple[LineConfig, ...], Meta(min_length=1)]
    agents: dict[str, AgentConfig]
    engines: dict[str, EngineConfig]
    hours: dict[str, HoursConfig] = field(default_factory=dict)
    timezone: Zone | None = None
    control: ControlConfig = field(default_factory=ControlConfig)
    log: LogConfig = field(default_factory=LogConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    tools: dict[str, ToolConfig] = field(default_factory=dict)
    mcp: dict[str, McpConfig] = field(default_factory=dict)
    approval: ApprovalConfig = field(default_factory=ApprovalConfig)
    messages: MessagesConfig = field(default_factory=MessagesConfig)
    workers: Annotated[int, Meta(ge=1, le=256)] | Literal["auto"] = 1

    @property
    def worker_count(self) -> int:
        """How many processes run calls; where that is left to us, one for each core that we may use."""
        if self.workers != "auto":
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def most_calls(self) -> int:
        """How many calls there may be at once: as many as are set; where that is left to us, as have ports."""
        return self.rtp.ports.pairs if self.sip.max_calls == "auto" else self.sip.max_calls

    def agents_of(self, line: LineConfig) -> list[str]:
        """The agents that may talk in calls of a line, each once, the default first."""
        found = list(dict.fromkeys([line.agent, *(route.agent for route in line.routes if route.agent is not None)]))
        for name in found:
            others = self.agents[name].hand_over if name in self.agents else ()
            found += [other for other in others if other not in found]
        return found

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All that must never be shown."""
        keys = [secret for engine in self.engines.values() for secret in engine.secrets]
        passwords = [secret for line in self.lines for secret in (line.password, *line.callers.values())]
        maps = [tool.headers for tool in self.tools.values()]
        maps += [each for server in self.mcp.values() for each in (server.headers, server.env)]
        given = [secret for each in maps for secret in each.values()]
        return tuple(secret for secret in (*keys, *passwords, *given) if secret)
