"""A world in which a telephone calls an agent: every machine is the real one, and time and network are made up.

``World(seed)`` draws a scenario, plays it to its end and asserts the invariants at every step.
"""

from hashlib import blake2b
from random import Random

from sim.clock import Clock
from sim.invariants import check_bounds
from sim.scenario import Scenario, draw
from sim.sides import AgentSide, CallerSide, Setting

from sipagent.sip.transaction import T4, TIMEOUT

BEGIN_S = 1000.0
"""A clock never starts at nothing."""
LIMIT_S = 4000.0
"""By then every world has come to its end; the longest is an hour's call."""
SETTLED_S = TIMEOUT + T4 + 0.001
"""So much after the last message nothing is remembered."""
LONGEST_STRETCH_S = 20.0
"""How seldom everything is measured, in the end; it takes as long as half a second of the call."""


class World:
    """One call in one network; :meth:`run` it.

    :param scenario: what happens, instead of what the seed would have drawn.
    """

    def __init__(self, seed: int, scenario: Scenario | None = None) -> None:
        self.seed = seed
        self.scenario = scenario or draw(self.random("scenario"))
        self.clock = Clock(start=BEGIN_S)
        self.digest = blake2b(digest_size=16)
        """Of everything that the call put out."""
        setting = Setting(self.clock, self.scenario, self.random)
        self.caller = CallerSide(setting)
        self.agent = AgentSide(setting, self.digest)
        self.caller.far, self.agent.far = self.agent, self.caller

    def __repr__(self) -> str:
        return f"World(seed={self.seed})"

    def random(self, name: str) -> Random:
        """A source of chance of one's own, so that what one part draws changes nothing for the others."""
        return Random(f"{self.seed}:{name}")

    def run(self) -> "World":
        """Play to the end; whatever goes wrong is told with the seed.

        :raises AssertionError: an invariant is broken, or a machine raised.
        """
        try:
            self._play()
        except Exception as error:
            at = self.clock.now - BEGIN_S
            raise AssertionError(f"{self!r} ({self.scenario.name}) at {at:.3f} s: {error}") from error
        return self

    def _play(self) -> None:
        self.caller.dial()
        until = self.clock.now + LIMIT_S
        stretch_s = 1.0
        while not (self.caller.is_over and self.agent.is_over):
            assert self.clock.now < until, f"not over after {LIMIT_S} s"
            self.clock.run(self.clock.now + stretch_s)
            self._check_bounds()
            for side in (self.caller, self.agent):
                if not side.is_dead:
                    side.sip.check_expiry(self.clock.now)
            stretch_s = min(2 * stretch_s, LONGEST_STRETCH_S)
        while self.clock.now < self._settled_at:
            self.clock.run(self._settled_at)
        for side in (self.caller, self.agent):
            side.check_end()

    @property
    def _settled_at(self) -> float:
        """When nothing more may be remembered, if nothing more comes."""
        return SETTLED_S + max(self.caller.sip.quiet_since, self.agent.sip.quiet_since)

    def _check_bounds(self) -> None:
        for machine in (self.caller.ua, self.agent.ua, self.caller.phone, self.agent.call):
            check_bounds(machine)
