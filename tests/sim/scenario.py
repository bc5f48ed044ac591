"""What happens in a world, drawn from its seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from sim.link import LinkSettings
from sim.voice import PHRASES, say

from sipagent.call.continuity import ContinuitySettings
from sipagent.call.phone import Line
from sipagent.sdp.negotiation import SrtpMode

GOOD = LinkSettings()
GREETING = 'Say: "Hello, how can I help?"'
ENCRYPTION: tuple[tuple[SrtpMode, SrtpMode], ...] = (
    ("off", "off"),
    ("off", "off"),
    ("optional", "off"),
    ("off", "optional"),
    ("optional", "required"),
    ("required", "optional"),
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done to a call, so long after the INVITE or, when it never comes to that, not at all."""

    name: str
    """``hold``, ``resume``, ``codec``, ``agent_changes``, ``caller_hangs_up``, ``agent_hangs_up``, ``drain``,
    ``caller_vanishes``."""
    at: float
    after_answer: bool = True
    """Count from the answer instead; a deed that needs a call that is up is let go when there is none."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call and its network."""

    name: str
    lines: tuple[Line, ...] = ()
    deeds: tuple[Deed, ...] = ()
    greeting: str | None = GREETING
    caller_codecs: tuple[str, ...] = ("PCMU", "PCMA")
    barge_in: bool = True
    detection: str = "local"
    records: bool = False
    faults: str = ""
    listens: bool = True
    """Whether somebody is at the phone, whose jitter buffer and recording cost time, or a stopwatch alone."""
    continuity: ContinuitySettings = field(default_factory=ContinuitySettings)
    """What is done about a model that fails."""
    down_s: float = 0.0
    """How long no model can be had, after the first one was lost."""
    outcome: str = ""
    """What becomes of a transfer: ``answered``, ``busy``, ``refused``, ``unknown`` or ``hung_up``; empty for none."""
    pace: float = 8.0
    """How much faster than real time the model sends its audio."""
    transport: str = "UDP"
    changes_by: str = "reinvite"
    """How the sides change the call: ``reinvite`` or ``update``."""
    allows_update: bool = True
    srtp: tuple[SrtpMode, SrtpMode] = ("off", "off")
    """Whether the caller's audio may, or must, be encrypted; and the agent's."""
    reliable_ringing: bool = False
    session_timer_s: int | None = None
    """The interval that the caller asks for."""
    linger_s: float = 1.5
    caller_limit_s: float = 40.0
    """The phone hangs up then."""
    call_limit_s: float = 300.0
    """The agent says goodbye then."""
    no_media_s: float = 20.0
    """A caller of whom nothing came for so long is gone."""
    sip: tuple[LinkSettings, LinkSettings] = (GOOD, GOOD)
    """From the caller and to it."""
    rtp: tuple[LinkSettings, LinkSettings] = (GOOD, GOOD)
    websocket: LinkSettings = field(default_factory=lambda: LinkSettings(latency_s=0.030, jitter_s=0.020))


def line(phrase: str, *, after_speech_ms: int | None = None) -> Line:
    """Say a phrase, in the agent's silence or over its voice."""
    return Line(phrase, say(phrase), after_speech_ms=after_speech_ms)


def draw(random: Random) -> Scenario:
    """A scenario and a network for it."""
    kinds = list(KINDS)
    make = random.choices(kinds, weights=[KINDS[kind] for kind in kinds])[0]
    scenario = make(random)
    scenario = replace(
        scenario,
        records=random.random() < 0.3,
        caller_codecs=random.choice([("PCMU", "PCMA"), ("PCMU",), ("PCMA",), ("PCMA", "PCMU")]),
        pace=random.choice([1.2, 3.0, 8.0, 100.0]),
        changes_by=random.choice(["reinvite", "update"]),
        allows_update=random.random() < 0.7,
        reliable_ringing=random.random() < 0.3,
        transport="TCP" if random.random() < 0.2 else "UDP",
        srtp=random.choice(ENCRYPTION),
        greeting=None if random.random() < 0.1 and scenario.name == "caller_hangs_up" else scenario.greeting,
    )
    if random.random() < 0.3:
        return scenario
    return replace(
        scenario,
        sip=(_draw_link(random, 0.30), _draw_link(random, 0.30)),
        rtp=(_draw_link(random, 0.20, 4.0), _draw_link(random, 0.20, 4.0)),
        websocket=LinkSettings(latency_s=random.uniform(0.005, 0.15), jitter_s=random.choice([0.0, 0.01, 0.1])),
    )


def _draw_link(random: Random, loss: float, burst: float = 1.0) -> LinkSettings:
    def sometimes(most: float) -> float:
        return random.choice([0.0, 0.0, random.uniform(0.0, most)])

    return LinkSettings(
        latency_s=random.uniform(0.001, 0.15),
        jitter_s=random.choice([0.0, 0.005, 0.030, 0.080]),
        loss=random.choice([0.0, 0.01, random.uniform(0.0, loss), loss]),
        burst=random.uniform(1.0, burst),
        duplicate=sometimes(0.2),
        reorder=sometimes(0.2),
        reorder_s=random.uniform(0.010, 0.100),
    )


# The kinds


def _ordinary(random: Random) -> Scenario:
    phrases = random.sample(["hello", "what time is it", "thank you", "count to ten"], k=random.randint(1, 2))
    return Scenario("ordinary", tuple(line(phrase) for phrase in phrases))


def _barge_in(random: Random) -> Scenario:
    lines: list[Line] = []
    for _ in range(random.randint(1, 3)):
        lines.append(line(random.choice(["tell me a story", "count to ten", "go on"])))
        lines.append(line(random.choice(PHRASES[:8]), after_speech_ms=random.randint(0, 3000)))
    return Scenario("barge_in", tuple(lines), caller_limit_s=30.0)


def _mumbling(random: Random) -> Scenario:
    """The caller says too little for a turn, over the agent's voice and elsewhere."""
    bits = [say("stop")[: random.randrange(160, 1600)] for _ in range(4)]
    lines = [Line("mumble", bit, after_speech_ms=random.randint(0, 1500)) for bit in bits]
    return Scenario("mumbling", (line("tell me a story"), *lines), caller_limit_s=15.0)


def _caller_hangs_up(random: Random) -> Scenario:
    """At any time: a CANCEL while it rings, a CANCEL that crosses the 200, a BYE."""
    deed = Deed("caller_hangs_up", random.choice([0.0, random.uniform(0, 0.5), random.uniform(0, 8)]), False)
    faults = random.choice(["", f"slow_session seconds={random.uniform(0.1, 4):.2f}"])
    return Scenario("caller_hangs_up", (line("tell me a story"),), (deed,), faults=faults)


def _agent_hangs_up(random: Random) -> Scenario:
    deed = Deed("agent_hangs_up", random.uniform(0, 6), random.random() < 0.5)
    return Scenario("agent_hangs_up", (line("tell me a story"),), (deed,))


def _hold(random: Random) -> Scenario:
    begin = random.uniform(0, 6)
    deeds = [Deed("hold", begin), Deed("resume", begin + random.uniform(0.1, 4))]
    if random.random() < 0.3:
        deeds.append(Deed("caller_hangs_up", random.uniform(0, 10)))
    lines = (line("tell me a story"), line("what time is it", after_speech_ms=random.randint(0, 4000)))
    return Scenario("hold", lines, tuple(deeds), caller_limit_s=20.0)


def _codec(random: Random) -> Scenario:
    lines = (line("tell me a story"), line("count to ten", after_speech_ms=random.randint(500, 4000)))
    return Scenario("codec", lines, (Deed("codec", random.uniform(0, 5)),), caller_limit_s=20.0)


def _keys(random: Random) -> Scenario:
    digits = "".join(random.choices("12345678*", k=random.randint(1, 4))) + random.choice(["", "#"])
    first = line("count to ten") if random.random() < 0.5 else Line("keys", digits=digits)
    last = Line("keys", digits=digits, after_speech_ms=random.choice([None, random.randint(0, 2000)]))
    return Scenario("keys", (first, last), caller_limit_s=20.0)


def _tool(random: Random) -> Scenario:
    over = random.choice([None, random.randint(0, 1500)])
    return Scenario("tool", (line("order status"), line("order status", after_speech_ms=over)), caller_limit_s=20.0)


def _goodbye(random: Random) -> Scenario:
    over = random.choice([None, random.randint(0, 700)])
    lines = (line("goodbye", after_speech_ms=over), line("stop", after_speech_ms=random.randint(0, 1000)))
    return Scenario("goodbye", lines)


def _transfer(random: Random) -> Scenario:
    """The agent hands the call on, and the caller talks over it or not; what fails is talked about."""
    outcome = random.choice(["answered", "answered", "busy", "refused", "unknown", "hung_up"])
    over = random.choice([None, random.randint(0, 1500)])
    lines = (line("transfer me to sales"), line("count to ten", after_speech_ms=over))
    return Scenario("transfer", lines, outcome=outcome, caller_limit_s=30.0)


def _faults(random: Random) -> Scenario:
    fault = random.choice(
        [
            "refuse_handshake status=429",
            "refuse_handshake status=401",
            "refuse_session code=invalid_api_key",
            "refuse_update",
            "wrong_format",
            "slow_session seconds=7",
            "slow_update seconds=3",
            f"expire seconds={random.uniform(0.1, 8):.2f}",
            "strange_events",
            f"slow_created on=2 seconds={random.uniform(0.1, 12):.2f}",
            f"slow_first_delta seconds={random.uniform(0.1, 3):.2f}",
            f"stall after_ms={random.randint(0, 2000)} on={random.randint(0, 2)} seconds={random.uniform(0, 4):.2f}",
            f"stall after_ms={random.randint(0, 2000)} on={random.randint(1, 2)}",
            f"fail after_ms={random.randint(0, 2000)} on={random.randint(0, 2)}",
            f"drop after_ms={random.randint(0, 2000)} on={random.randint(0, 2)}",
        ]
    )
    lines = (line("tell me a story"), line("count to ten", after_speech_ms=random.randint(0, 3000)))
    return Scenario("faults", lines, faults=fault, caller_limit_s=20.0)


def _drain(random: Random) -> Scenario:
    return Scenario("drain", (line("count to ten"),), (Deed("drain", random.uniform(0, 6), random.random() < 0.5),))


def _vanish(random: Random) -> Scenario:
    """The caller's machine dies: nobody says goodbye, and the agent notices by itself."""
    deed = Deed("caller_vanishes", random.uniform(0, 6), after_answer=False)
    return Scenario("vanish", (line("count to ten"),), (deed,), no_media_s=random.uniform(5, 15))


def _too_long(random: Random) -> Scenario:
    lines = (line("tell me a story"), line("count to ten", after_speech_ms=random.randint(0, 5000)))
    return Scenario("too_long", lines, call_limit_s=random.uniform(0, 10))


def _server_detection(random: Random) -> Scenario:
    lines = (line("tell me a story"), line("count to ten", after_speech_ms=random.randint(0, 3000)))
    return Scenario("server_detection", lines, detection="server", caller_limit_s=15.0)


def _deaf_agent(random: Random) -> Scenario:
    lines = (line("count to ten"), line("stop", after_speech_ms=random.randint(0, 2000)))
    return Scenario("deaf_agent", lines, barge_in=False, caller_limit_s=15.0)


def _glare(random: Random) -> Scenario:
    """Both sides change the call, as good as at once."""
    at = random.uniform(0, 2)
    deeds = [Deed(name, at + random.uniform(0, 0.3)) for name in ("hold", "agent_changes")]
    deeds += [Deed(name, at + 4 + random.uniform(0, 0.3)) for name in ("agent_changes", "resume")]
    return Scenario("glare", (line("tell me a story"),), tuple(deeds), caller_limit_s=20.0)


def _session_timer(random: Random) -> Scenario:
    """A call that must be refreshed; sometimes the caller dies, and then the timer tells, if the media do not."""
    deeds = [Deed("caller_vanishes", random.uniform(30, 80))] if random.random() < 0.4 else []
    lines = (line("hello"), line("thank you", after_speech_ms=random.randint(0, 500)))
    return Scenario(
        "session_timer", lines, tuple(deeds), session_timer_s=90, linger_s=200.0, caller_limit_s=150.0, no_media_s=300.0
    )


KINDS: Mapping[Callable[[Random], Scenario], int] = {
    _ordinary: 3,
    _barge_in: 6,
    _mumbling: 1,
    _caller_hangs_up: 4,
    _agent_hangs_up: 1,
    _hold: 3,
    _codec: 2,
    _keys: 2,
    _tool: 2,
    _goodbye: 2,
    _transfer: 2,
    _faults: 5,
    _drain: 1,
    _vanish: 1,
    _too_long: 1,
    _server_detection: 1,
    _deaf_agent: 1,
    _glare: 2,
    _session_timer: 2,
}
"""How often each is drawn."""
