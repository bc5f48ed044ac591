"""What happens in the calls of these tests, seen from sipagent's own log and recording."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, ClassVar, Protocol

import numpy as np
from interop.kamailio import Kamailio, Transport
from interop.sound import RATE, SAME, Samples, at_rate, correlate, share_found
from program import Entry, Program, Server

from sipagent.audio.wav import read_wav

USER, PASSWORD = "100", "correct horse"
"""Of sipagent at the PBX."""

EVENT_S = 20.0
HOLD_S = 0.7

FOUND = 0.7
"""The share of what was said that is heard without a stumble; on a busy machine a telephone's own clock stumbles."""

EIGHT_BITS = 0.6
"""What is left of a likeness where one side has 8 bits and a clock that is 2 % slow."""

SPEAKS_AT_S = 1.0
"""When a caller speaks: over the greeting, which is cut short by it."""

SILENCE: Samples = np.zeros(RATE, np.int16)


@dataclass(frozen=True, slots=True)
class Voices:
    """What is said, as it was rendered."""

    QUESTION: ClassVar[str] = "How are you?"
    ORDER: ClassVar[str] = "transfer"
    """At which the local model uses the tool of that name."""

    question: Samples
    greeting: Samples
    fine: Samples
    order: Samples

    @property
    def caller(self) -> Samples:
        """What a telephone says: nothing, then the question."""
        return _later(self.question)

    @property
    def leaver(self) -> Samples:
        """What a telephone says that wants to be transferred."""
        return _later(self.order)


def _later(said: Samples) -> Samples:
    return np.concatenate((np.zeros(int(SPEAKS_AT_S * RATE), np.int16), said, SILENCE))


def extension(pbx: Kamailio, transport: Transport = "udp", **line: Any) -> dict[str, Any]:
    """The settings of a server that is an extension of this PBX."""
    usual = {
        "name": "main", "agent": "tested", "domain": f"127.0.0.1:{pbx.ports[transport]}", "user": USER,
        "password": PASSWORD, "transport": transport,
    }  # fmt: skip
    return {
        "sip": {"tls": {"ca": str(pbx.authority.ca)}},
        "lines": [usual | line],
        "agents": {"tested": {"record": True}},
    }


class Telephone(Protocol):
    """What every telephone of these tests can do."""

    def dial(self, uri: str) -> object: ...
    def wait_until_up(self) -> None: ...
    def wait_until_over(self) -> object: ...
    def hold(self) -> None: ...
    def unhold(self) -> None: ...
    def press(self, keys: str) -> None: ...
    def transfer(self, uri: str) -> None: ...
    def hang_up(self) -> None: ...
    def heard(self) -> Samples: ...
    def receives(self) -> bool: ...
    def stop(self) -> None: ...


class Call:
    """A call of the server's, by its log: the next one that begins after this object is made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._since = len(server.entries)
        self._id: str | None = None

    @property
    def id(self) -> str:
        """Its id; waits for its beginning."""
        if self._id is None:
            begin = after(self._server, self._since, lambda entry: entry["event"] in ("invited", "dialled"))
            self._id = str(begin["call"])
        return self._id

    @property
    def entries(self) -> list[Entry]:
        """What happened in it so far."""
        return [entry for entry in self._server.entries if entry.get("call") == self.id]

    def wait_for(self, event: str, **fields: object) -> Entry:
        """Return the first such event of the call."""
        wanted = {"call": self.id, "event": event} | fields
        return self._server.wait_for(lambda entry: wanted.items() <= entry.items(), timeout_s=EVENT_S)

    def wait_for_next(self, event: str, since: int, **fields: object) -> Entry:
        """Return the first such event of the call after its first ``since``."""
        seen = {id(entry) for entry in self.entries[:since]}
        wanted = {"call": self.id, "event": event} | fields

        def is_wanted(entry: Entry) -> bool:
            return id(entry) not in seen and wanted.items() <= entry.items()

        return self._server.wait_for(is_wanted, timeout_s=EVENT_S)

    def wait_until_over(self) -> Entry:
        """Return the entry that ends it."""
        return self.wait_for("ended")

    def recording(self, wanted: int = RATE) -> tuple[Samples, Samples]:
        """What the caller said, and what the agent did, at that rate."""
        self.wait_until_over()
        rate, sides = read_wav(next(self._server.recordings.glob(f"*-{self.id}.wav")).read_bytes())
        return at_rate(sides[:, 0], rate, wanted), at_rate(sides[:, 1], rate, wanted)


def after(program: Program, since: int, is_wanted: Callable[[Entry], bool]) -> Entry:
    """Return the first such entry of the log after the first ``since``."""
    seen = {id(entry) for entry in program.entries[:since]}
    return program.wait_for(lambda entry: id(entry) not in seen and is_wanted(entry), timeout_s=EVENT_S)


def ask(call: Call) -> None:
    """Return when the question, which the telephone asks by itself, is answered."""
    call.wait_for("agent_started")
    call.wait_for("barged_in")
    call.wait_for("agent_said", is_cut=False)


def hear_each_other(call: Call, phone: Telephone, voices: Voices, *, early: int = 0) -> None:
    """The telephone asks, is answered and hangs up; each heard what the other said, and nothing was lost.

    :param early: as :func:`judge_media`.
    """
    ask(call)
    phone.hang_up()
    phone.stop()
    judge_ears(call, voices)
    judge_voice(call, phone.heard())
    judge_media(call, early=early)


def judge_ears(call: Call, voices: Voices, *, likest: float = SAME) -> None:
    """sipagent heard the question."""
    heard, _ = call.recording()
    assert correlate(voices.question, heard)[1] > likest


def judge_voice(call: Call, heard: Samples, *, likest: float = SAME) -> None:
    """The telephone heard what sipagent says it said."""
    _, said = call.recording()
    assert share_found(said, heard, likest) > FOUND


def judge_media(call: Call, *, early: int = 0) -> None:
    """Nothing was lost on the way, and nobody else spoke.

    :param early: the packets that may come from the callee before its answer has come by way of the PBX.
    """
    media = call.wait_until_over()["media"]
    assert (media["lost"], media["malformed"]) == (0, 0)
    assert media["from_strangers"] <= early


def press_and_listen(phone: Telephone, call: Call) -> None:
    """Press 4, at which the local model counts, and return when it has."""
    since = len(call.entries)
    phone.press("4")
    said = call.wait_for_next("agent_said", since, is_cut=False)
    assert said["text"].startswith("You pressed 4. One.")


def hold_and_resume(phone: Telephone, call: Call) -> None:
    """Twice, for the second time is where many fail; a hold of milliseconds is more than baresip's own sound bears."""
    for _ in range(2):
        since = len(call.entries)
        phone.hold()
        call.wait_for_next("held_by_peer", since, is_held=True)
        pause(HOLD_S)
        since = len(call.entries)
        phone.unhold()
        call.wait_for_next("held_by_peer", since, is_held=False)
        pause(HOLD_S)


def pause(seconds: float) -> None:
    """Let time pass."""
    Event().wait(seconds)
