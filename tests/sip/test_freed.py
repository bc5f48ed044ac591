"""An ended session is freed with its last transaction, without the help of the collector, which stops all calls."""

from collections.abc import Callable

import pytest
from garbage import counted_references_only
from sip.peers import ANSWER, OFFER, TRUSTING, Endpoint, World

from sipagent.sip.events import Event, IncomingInvite, Referred, Reinvited
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

ALL_S = 1000.0
"""Longer than anything is remembered."""


class Story:
    """Alice calls Bob, who does as he is told; then something happens, and then it is over."""

    def __init__(self, **settings: float) -> None:
        self.world = World(**settings)  # type: ignore[arg-type]
        self.world.bob = Endpoint(self.world.bob.local, 3, TRUSTING)
        self.world.on_event = {self.world.alice: self._on_event_of_alice, self.world.bob: self._on_event_of_bob}
        self.picks_up = True
        self.bobs = 0
        self.alices = 0

    def call(self) -> None:
        """Let Alice call."""
        self.alices = self.world.call()
        self.world.run(self.world.now + 1.0)

    def then(self, method: Callable[..., object], *arguments: object) -> None:
        """Do something, and give it time."""
        method(*arguments, now=self.world.now)
        self.world.run(self.world.now + 5.0)

    @property
    def alice(self) -> UserAgent:
        return self.world.alice.agent

    @property
    def bob(self) -> UserAgent:
        return self.world.bob.agent

    def _on_event_of_alice(self, event: Event) -> None:
        if isinstance(event, Reinvited):
            self.alice.accept(event.handle, ANSWER, now=self.world.now)

    def _on_event_of_bob(self, event: Event) -> None:
        now = self.world.now
        match event:
            case IncomingInvite(handle):
                self.bobs = handle
                self.bob.ring(handle, now=now)
                if self.picks_up:
                    self.bob.accept(handle, ANSWER, now=now)
            case Reinvited(handle):
                self.bob.accept(handle, ANSWER, now=now)
            case Referred(handle):
                self.bob.midcall(handle).accept_refer(now=now)
                self.bob.midcall(handle).report_refer(200, now=now)


def hung_up_by_alice(story: Story) -> None:
    story.call()
    story.then(story.alice.hang_up, story.alices)


def hung_up_by_bob(story: Story) -> None:
    story.call()
    story.then(story.bob.hang_up, story.bobs)


def changed(story: Story) -> None:
    story.call()
    story.then(story.alice.reinvite, story.alices, OFFER)
    story.then(story.bob.update, story.bobs, OFFER)
    story.then(story.bob.hang_up, story.bobs)


def referred(story: Story) -> None:
    story.call()
    story.then(story.alice.refer, story.alices, Uri.parse("sip:carol@192.0.2.3"))
    story.then(story.alice.midcall(story.alices).press, "1")
    story.then(story.alice.hang_up, story.alices)


def cancelled(story: Story) -> None:
    story.picks_up = False
    story.call()
    story.then(story.alice.hang_up, story.alices)


def refused(story: Story) -> None:
    story.picks_up = False
    story.call()
    story.then(story.bob.reject, story.bobs, 486)


def never_heard(story: Story) -> None:
    story.world.loss = 1.0
    story.call()


def never_acknowledged(story: Story) -> None:
    story.world.drop = lambda message: getattr(message, "method", "") in ("ACK", "BYE")
    story.call()
    story.world.run(100.0)
    story.then(story.alice.hang_up, story.alices)


STORIES = [
    hung_up_by_alice,
    hung_up_by_bob,
    changed,
    referred,
    cancelled,
    refused,
    never_heard,
    never_acknowledged,
]


@pytest.mark.parametrize("happens", STORIES)
def test_the_end_leaves_nothing_for_the_collector(happens: Callable[[Story], None]) -> None:
    story = Story()
    with counted_references_only() as garbage:
        happens(story)
        story.world.run(ALL_S)
        story.world.assert_clean()
    assert not garbage
