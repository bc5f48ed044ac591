"""Calls whose model fails, in virtual time: a caller who asks and waits, a model that is cut, stalls, refuses and dies.

There is no network between the caller and the call, so that a thousand of them cost a minute; the machines are the real
ones, and the model's WebSocket takes its time.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from sim.clock import Beat, Clock, Node
from sim.invariants import ModelWatch
from sim.link import LinkSettings
from sim.model import Model, Models
from sim.voice import say

from sipagent.audio.clip import Clip
from sipagent.audio.noise import comfort_noise
from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.settings import CallSettings
from sipagent.call.sip_leg import SipLeg
from sipagent.realtime.settings import SessionSettings
from sipagent.rtp.packet import pack_packet, parse_packet

FRAME = 160
QUIET = b"\xff"
TAIL_TICKS = 50
CALLER = ("192.0.2.7", 4000)
OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
NOISE = Clip({8000: comfort_noise(-45.0, random=Random(1), rate=8000)})
"""Soft, and no byte of it is the agent's."""


ABSENCES = (events.ModelLost, events.ModelStalled, events.ModelResumed, events.ModelRecovered, events.ModelFailed)
"""What begins and ends a stretch without a model."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What goes wrong, and when."""

    faults: str = ""
    """The embedded model's script."""
    phrases: tuple[tuple[float, str], ...] = ((0.6, "tell me a story"), (5.5, "what time is it"))
    """What the caller says, and when, in seconds after the answer."""
    kill_at: float | None = None
    """When the model's process dies."""
    down_s: float = 0.0
    """How long nobody answers there."""
    ends_at: float = 9.0
    """The caller hangs up, if nobody else did."""
    continuity: ContinuitySettings = field(default_factory=lambda: ContinuitySettings(filler=NOISE))


class Witness(ModelWatch):
    """Watches the model's end only: no two responses at once, no truncation beyond what was sent."""

    def call_receives(self, event: dict[str, Any], number: int = 1) -> None:
        """What is heard of it is looked at elsewhere."""

    def call_tells(self, output: events.Output) -> None:
        """What a session that is lost was saying is over."""
        if isinstance(output, events.ModelLost):
            self._live.clear()


class OutageWorld:
    """One such call; :meth:`run` it."""

    def __init__(self, seed: int, outage: Outage) -> None:
        self.seed = seed
        self.outage = outage
        self.clock = Clock(start=1000.0)
        self.facts: list[tuple[float, events.Output]] = []
        self.sounds: list[tuple[float, str]] = []
        """Of each tick whether the caller heard the ``agent``, the ``filler`` or ``nothing``."""
        self.watch = Witness(is_faulty=True)
        conversation = ConversationSettings(
            SessionSettings("sim", transcription_model="sim"),
            greeting='Say: "Hello, how can I help?"',
            listener=ListenerSettings(echo_guard=False),  # nothing comes back here, and it is half of the cost
            continuity=outage.continuity,
        )
        random = Random(f"{seed}:call")
        self.leg = SipLeg(address="192.0.2.1", port=10_000, codecs=("PCMU",), cname="sim", random=random)
        self.call = Call("call", leg=self.leg, settings=CallSettings(conversation), random=random)
        self._node: Node[events.Output] = Node(self.clock, self.call, self._carry)
        self._random = Random(f"{seed}:model")
        self._models = Models(self._make_model)
        self._latency = LinkSettings(latency_s=self._random.uniform(0.02, 0.08), jitter_s=0.02)
        self._down_until = 0.0
        self._answered_at: float | None = None
        self._speech = b""
        self._sequence_number = 0
        self._tail = TAIL_TICKS
        self.ended: events.Ended | None = None

    def run(self) -> "OutageWorld":
        """Play to the end.

        :raises AssertionError: an invariant of the agent's audio is broken, told with the seed.
        """
        try:
            self._node.feed(self.call.receive_invite, OFFER)
            Beat(self.clock, self._on_beat)
            self.clock.run(self.clock.now + self.outage.ends_at + 3.0)
        except Exception as error:
            raise AssertionError(f"OutageWorld({self.seed}) at {self.clock.now - 1000:.3f} s: {error}") from error
        assert self.ended is not None, f"OutageWorld({self.seed}) has no end"
        return self

    def of(self, kind: type[Any]) -> list[Any]:
        """Every fact of this kind."""
        return [fact for _, fact in self.facts if isinstance(fact, kind)]

    def at(self, kind: type[Any]) -> list[float]:
        """When there were facts of this kind."""
        return [at for at, fact in self.facts if isinstance(fact, kind)]

    @property
    def silences(self) -> list[float]:
        """The longest silence in each stretch without a model, in seconds, a stall included."""
        longest, found, at = 0.0, [], 0.0
        is_absent, silent = False, 0.0
        facts = iter([*((at, fact) for at, fact in self.facts if isinstance(fact, ABSENCES))])
        coming = next(facts, None)
        for at, sound in self.sounds:
            while coming is not None and coming[0] < at:
                is_absent = isinstance(coming[1], events.ModelLost | events.ModelStalled)
                if not is_absent:
                    found.append(longest)
                    longest = 0.0
                coming = next(facts, None)
            silent = silent + 0.02 if is_absent and sound == "nothing" else 0.0
            longest = max(longest, silent)
        return [*found, longest] if is_absent else found

    def _make_model(self, number: int) -> Model:
        return Model(
            self.clock,
            faults=self.outage.faults,
            pace=4.0,
            link=self._latency,
            random=self._random,
            call=self._node,
            machine=self.call,
            watch=self.watch,
            number=number,
            is_down=lambda: self.clock.now < self._down_until,
        )

    def _carry(self, output: events.Output) -> None:
        self.watch.call_tells(output)
        match output:
            case events.SendModel(data):
                self._models.send(data)
            case events.ConnectModel() | events.SendComingModel() | events.UseModel() | events.CloseModel():
                self._models.carry(output)
            case events.Answered():
                self._on_answered()
            case events.Ended():
                self.ended = output
                self.facts.append((self.clock.now, output))
            case events.SendRtcp() | events.RecordAudio():
                pass
            case _:
                self.facts.append((self.clock.now, output))

    def _on_answered(self) -> None:
        self._answered_at = self.clock.now
        for at, phrase in self.outage.phrases:
            self.clock.after(at, self._say, phrase)
        if self.outage.kill_at is not None:
            self.clock.after(self.outage.kill_at, self._kill)
        self.clock.after(self.outage.ends_at, self._hang_up)

    def _say(self, phrase: str) -> None:
        self._speech += say(phrase)

    def _kill(self) -> None:
        self._down_until = self.clock.now + self.outage.down_s
        for model in self._models.connections.values():
            model.die()

    def _hang_up(self) -> None:
        if self.ended is None:
            self._node.feed(self.call.leg_ended, "bye")

    def _on_beat(self) -> bool:
        if self._answered_at is not None and self.ended is None:
            self._hear()
            self._node.feed_beat(self._tick)
        return self.ended is None

    def _hear(self) -> None:
        """What the caller says; his telephone sends nothing long after that, which costs no time here."""
        self._tail = TAIL_TICKS if self._speech else self._tail - 1
        if self._tail < 0:
            self._sequence_number += 1
            return
        frame, self._speech = self._speech[:FRAME], self._speech[FRAME:]
        frame = frame.ljust(FRAME, QUIET)
        packet = pack_packet(0, self._sequence_number & 0xFFFF, self._sequence_number * FRAME, 7, frame)
        self._sequence_number += 1
        self._node.feed_data(self.call.receive_rtp, packet, CALLER)

    def _tick(self, *, now: float) -> None:
        data = self.call.next_packet(now=now)
        packet = parse_packet(data) if data is not None else None
        if packet is None:
            return
        conversation = self.call._conversation
        assert conversation is not None
        is_quiet = not packet.payload.strip(QUIET)
        is_agents = conversation._speaker._was_talking
        self.sounds.append((now, "agent" if is_agents else "nothing" if is_quiet else "filler"))
