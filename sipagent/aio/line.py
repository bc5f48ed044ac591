"""A line: what becomes of the calls that come in by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from sipagent.agent.approval import ApprovalPolicy
from sipagent.agent.profile import Profile
from sipagent.agent.routing import Route
from sipagent.agent.tool_set import ToolSource
from sipagent.agent.tools import CallInfo, Tool
from sipagent.aio.call_handle import CallHandle
from sipagent.aio.driver import Driver
from sipagent.aio.engine import Engine
from sipagent.call import events
from sipagent.call.commands import Commands
from sipagent.call.settings import CallSettings
from sipagent.call.succession import AgentChange
from sipagent.sdp.negotiation import SrtpMode
from sipagent.sip.identity import Identity, Party
from sipagent.sip.targets import Targets

NOT_FOUND = 404


class Companion(Protocol):
    """What runs agents of somebody else's making beside their calls."""

    def follow(
        self,
        commands: Commands,
        driver: Driver[events.Output],
        *,
        info: CallInfo,
        line: "Line",
        hire: Callable[["Line"], AgentChange],
        report: Callable[[str, BaseException], None],
    ) -> CallHandle:
        """Take part in a call.

        :param hire: makes of a line with another agent what that agent brings.
        :param report: is told what failed, and what it raised.
        """


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of the calls of a line with one agent."""

    codecs: tuple[str, ...]
    call: CallSettings
    engine: Engine
    tools: tuple[Tool, ...]
    """The agent's own."""
    agent: str
    sources: tuple[ToolSource, ...] = ()
    """Servers with more of them."""
    approval: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    """Who is asked about those that need it."""
    substitutes: tuple[Engine, ...] = ()
    """The engines that may take the place of the agent's own."""
    keys_in_rtp: bool = True
    """Whether keys that an agent presses go there, where the peer takes them."""
    account: str | None = None
    """By which we call; ``None`` where we can't."""
    transfers: Targets | None = None
    """Whom a peer may have us call; ``None`` for nobody."""
    external_address: str | None = None
    """Where its peers beyond our own networks send media, numeric; ``None``: where all others do."""
    profile: Profile | None = None
    """What the agent is told; ``None``: what ``call`` says, whoever calls."""
    routes: tuple[tuple[Route, "Line | None"], ...] = ()
    """Which calls other agents take, each with the same line for them, and which are refused."""
    hand_over: tuple[str, ...] = ()
    """To whom the agent may hand calls over."""
    others: Mapping[str, "Line"] = field(default_factory=dict)
    """The same line with the agents to whom its calls may be handed over, by their names."""
    srtp: SrtpMode = "off"
    companion: Companion | None = None
    """What runs the agent, where it is not ours."""

    def choose(self, identity: Identity, moment: datetime) -> "Line | int":
        """Return the line with the agent that takes such a call, or the status with which it is refused.

        :param moment: when it comes, with its timezone.
        """
        caller, called = identity.caller, Party(identity.called)
        for route, line in self.routes:
            if route.fits(identity, caller=caller, called=called, moment=moment):
                return line or route.reject or NOT_FOUND
        return self

    def settings(self, info: CallInfo, identity: Identity | None, tools: tuple[Tool, ...] = ()) -> CallSettings:
        """Return what a call is to be like, with what the model is told of it.

        :param identity: who calls; ``None`` when we do.
        :param tools: all that there are now, where there are servers with tools.
        """
        session = self.call.conversation.session
        if self.sources:
            hosted = tuple(each for each in session.tools if each.get("type") != "function")
            session = replace(session, tools=(*(tool.definition for tool in tools), *hosted))
        if self.profile is None:
            return replace(self.call, conversation=replace(self.call.conversation, session=session))
        facts = identity.facts() if identity is not None else {}
        instructions, greeting = self.profile.instruct(info, facts), self.profile.greet(info)
        conversation = self.call.conversation
        session = replace(session, instructions=instructions)
        return replace(self.call, conversation=replace(conversation, session=session, greeting=greeting))


def info_of(call_id: str, identity: Identity, agent: str, *, line: str, moment: datetime) -> CallInfo:
    """What tools and instructions may know of a call."""
    return CallInfo(
        call_id,
        caller=str(identity.caller.uri),
        called=str(identity.called),
        agent=agent,
        caller_name=identity.caller.name,
        is_vouched_for=identity.is_asserted,
        is_private=identity.is_private,
        diverted_from=tuple(str(diversion.party) for diversion in identity.diversions),
        user_to_user=tuple(entry.text for entry in identity.user_to_user),
        headers=dict(reversed(identity.headers)),
        caller_number=str(identity.caller),
        called_number=str(Party(identity.called)),
        line=line,
        time=moment,
    )
