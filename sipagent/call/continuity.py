"""How a call goes on when its model fails, stalls or reaches the end of its session: settings and plain arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import Final

from sipagent.audio.clip import Clip
from sipagent.realtime.settings import SessionSettings

FIRST_S: Final = 0.15
"""The longest wait before the first attempt: five hundred calls that lost their model together come back spread out."""

MAX_DELAY_S: Final = 1.0
"""Between two attempts, once there have been some: nobody waits longer than that for a model that is back."""

ATTEMPTS: Final = 3
"""With one engine, where there is another one."""

LEAD_S: Final = 300.0
"""How long before the end of a session its successor is made: time enough to wait for a pause."""

ROLL_RETRY_S: Final = 30.0
"""After a successor could not be had though the present session is fine."""

LOST_CODE, END_CODE = 1006, 1001
"""How the connection would have been closed (:rfc:`6455#section-7.4.1`): not at all; because the server goes away."""

CONTINUE: Final = (
    "The connection failed while you were speaking: your last words are cut off where they end above. "
    "Go on from there, in the middle of the sentence if need be, and repeat nothing."
)


@dataclass(frozen=True, slots=True)
class ContinuitySettings:
    """What is done about a model that fails in mid-call."""

    give_up_s: float = 20.0
    """How long a session is sought after one was lost; 0: not at all."""
    stalled_s: float = 2.0
    """How long the model may be silent when it is its turn; then the caller hears the filler."""
    lost_s: float = 8.0
    """How long it may be silent before it is given up."""
    max_session_s: float = inf
    """How long a session is used; that of a server that limits them itself is left in time, too."""
    filler: Clip | None = None
    """What the caller hears in the place of silence meanwhile, again and again."""
    fallbacks: tuple[SessionSettings, ...] = ()
    """What the other engines are asked for, in the order of their numbers from 1 on."""


@dataclass(frozen=True, slots=True)
class RollPlan:
    """When a session is left: each an absolute time."""

    prepare_at: float
    """Its successor is made ready."""
    insist_at: float
    """No pause came: as soon as no response is in the making."""
    force_at: float
    """Whatever is going on."""


NEVER: Final = RollPlan(inf, inf, inf)


def plan_roll(ready_at: float, ends_at: float) -> RollPlan:
    """Plan to leave a session that is there from ``ready_at`` to ``ends_at``."""
    lead_s = min(LEAD_S, (ends_at - ready_at) / 5)
    return RollPlan(ends_at - lead_s, ends_at - lead_s / 2, ends_at - lead_s / 6)


def delay_before(attempt: int, random: Random) -> float:
    """How long to wait before the attempt of this number, counted from 0: doubled each time, and by chance."""
    if attempt == 0:
        return random.uniform(0.0, FIRST_S)
    return min(MAX_DELAY_S, 2.0**attempt * FIRST_S) * random.uniform(0.5, 1.0)


def changed(settings: Iterable[SessionSettings], agent: SessionSettings) -> list[SessionSettings]:
    """Return what each engine is asked for when another agent talks; model, voice and format stay the engine's own."""
    return [
        replace(
            each,
            instructions=agent.instructions,
            tools=agent.tools,
            language=agent.language,
            speed=agent.speed,
            turn_detection=agent.turn_detection,
            server_vad=agent.server_vad,
        )
        for each in settings
    ]
