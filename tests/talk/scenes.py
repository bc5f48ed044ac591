"""What callers do: each scene is a kind of call, with what is heard around the caller and what the caller says when."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, TypeAlias

from talk import sounds
from talk.caller import Caller, Echo
from talk.plan import Place, Plan

from sipagent.audio.g711 import Pcm

Script: TypeAlias = Callable[[Caller], Awaitable[None]]

PERIOD_S: Final = 40.0
"""After which a background is heard again: longer than a call of noise."""
TALK_S: Final = 0.8, 2.0
"""How long the agent has spoken when it is interrupted."""
APART_S: Final = 1.6
"""Between two sounds that are no interruptions: the agent has gone on by then."""
END_S: Final = 1.0
"""After the last sound."""
ECHO_DELAY_MS: Final = 20.0, 180.0
"""From a loudspeaker close by to one behind a mobile network."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One call to be made."""

    kind: str
    seed: int
    background: Callable[[], Pcm]
    script: Script
    echo_db: float | None = None
    """The return loss of the caller's side."""
    expects_cuts: bool = False
    """Whether the agent is to stop for what is said."""

    def make_echo(self, random: Random) -> Echo | None:
        """The way back, if there is one."""
        if self.echo_db is None:
            return None
        return Echo(self.echo_db, delay_ms=random.uniform(*ECHO_DELAY_MS), random=random)


def scenes(plan: Plan) -> Iterator[tuple[str, list[Scene]]]:
    """Yield what is made at once, with a title; a scene's kind is the name of its figures."""
    quiet, *noisy = plan.interruptions
    yield "interruptions in quiet", list(_interruptions(plan, *quiet))
    yield "interruptions in noise", [scene for place, count in noisy for scene in _interruptions(plan, place, count)]
    yield "coughs, little words, keys", [*_little_sounds(plan), *_others(plan)]
    yield "echo at 10 dB", [_echo(plan, 10.0, number) for number in range(plan.noise_calls)]
    yield "street at 10 dB", [_street(plan, number) for number in range(plan.noise_calls)]
    yield "music, other echoes, double talk", [*_sounding(plan)]


def _interruptions(plan: Plan, place: Place, count: int) -> Iterator[Scene]:
    clips = sounds.sentences()
    for number in range(count // plan.per_call):
        mine = [(f"sentence {at % len(clips)}", clips[at % len(clips)]) for at in _places(number, plan.per_call)]
        script = partial(_interrupt, lines=mine)
        yield Scene(f"interruption, {place}", 100 + number, partial(_around, place, number), script, expects_cuts=True)


def _little_sounds(plan: Plan) -> Iterator[Scene]:
    half = plan.little_sounds // 2
    words = [("backchannel", f"backchannel {number}", pcm) for number, pcm in enumerate(sounds.backchannels()[:half])]
    coughs = [("cough", f"cough {number}", pcm) for number, pcm in enumerate(sounds.coughs(plan.little_sounds - half))]
    mixed = [each for pair in zip(words, coughs, strict=False) for each in pair] + coughs[len(words) :]
    yield from _murmuring("coughs and backchannels", mixed, plan)


def _others(plan: Plan) -> Iterator[Scene]:
    count = plan.other_calls * plan.per_call // 2
    throats = [("throat", f"throat {number}", pcm) for number, pcm in enumerate(sounds.throats(count))]
    breaths = [("breath", f"breath {number}", pcm) for number, pcm in enumerate(sounds.breaths(count))]
    yield from _murmuring("throats and breaths", throats + breaths, plan)
    clicks = [("click", f"click {number}", pcm) for number, pcm in enumerate(sounds.clicks(2 * count))]
    yield from _murmuring("clicks", clicks, plan)
    keys = [("keys", f"keys {digits}", sounds.keys(digits)) for digits in ("1", "42", "0815", "*", "999")]
    yield from _murmuring("keys in the audio", (keys * count)[: 2 * count], plan)


def _murmuring(kind: str, lines: Sequence[tuple[str, str, Pcm]], plan: Plan) -> Iterator[Scene]:
    for number, at in enumerate(range(0, len(lines), plan.per_call)):
        script = partial(_murmur, lines=lines[at : at + plan.per_call])
        yield Scene(kind, 300 + number, partial(_around, "quiet", number), script)


def _echo(plan: Plan, return_loss_db: float, number: int) -> Scene:
    script = partial(_listen, seconds=plan.noise_s)
    kind = f"echo at {return_loss_db:g} dB"
    return Scene(kind, 500 + number, partial(_around, "quiet", number), script, echo_db=return_loss_db)


def _street(plan: Plan, number: int) -> Scene:
    background = partial(sounds.street, PERIOD_S, snr_db=10.0, seed=number)
    return Scene("street at 10 dB", 600 + number, background, partial(_listen, seconds=plan.noise_s))


def _sounding(plan: Plan) -> Iterator[Scene]:
    for number in range(plan.other_calls):
        listen = partial(_listen, seconds=plan.noise_s)
        yield Scene("hold music", 700 + number, partial(sounds.music, PERIOD_S, number=number), listen)
        yield _echo(plan, 20.0, number)
        yield _echo(plan, 6.0, number)
        clips = sounds.sentences()
        lines = [(f"sentence {at % len(clips)}", clips[at % len(clips)]) for at in _places(number, plan.per_call)]
        background = partial(_around, "quiet", number)
        script = partial(_interrupt, lines=lines)
        yield Scene("double talk at 10 dB", 800 + number, background, script, echo_db=10.0, expects_cuts=True)


def _places(number: int, count: int) -> range:
    return range(number * count, (number + 1) * count)


def _around(place: Place, seed: int) -> Pcm:
    if place == "quiet":
        return sounds.line_noise(PERIOD_S, seed=seed)
    return sounds.street(PERIOD_S, snr_db=float(place.partition(" ")[0]), seed=100 + seed, has_events=False)


# Scripts


async def _interrupt(caller: Caller, *, lines: Sequence[tuple[str, Pcm]]) -> None:
    """Talk over the agent, again and again, and wait for its answers."""
    for name, pcm in lines:
        if await caller.hear_agent(caller.random.uniform(*TALK_S)):
            await caller.say("interruption", name, pcm)
            await caller.rest(END_S)
    await caller.hear_agent(END_S)


async def _murmur(caller: Caller, *, lines: Sequence[tuple[str, str, Pcm]]) -> None:
    """Make sounds that are not meant to interrupt."""
    for kind, name, pcm in lines:
        if await caller.hear_agent(caller.random.uniform(*TALK_S)):
            await caller.say(kind, name, pcm)
            await caller.rest(APART_S)
    await caller.rest(END_S)


async def _listen(caller: Caller, *, seconds: float) -> None:
    await caller.hear_agent(0.1)
    await caller.rest(seconds)
