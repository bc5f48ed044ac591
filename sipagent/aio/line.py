"""A line: what becomes of the calls that come in by it."""

from dataclasses import dataclass, replace

from sipagent.agent.quotation import quote_facts
from sipagent.agent.routing import Route
from sipagent.agent.tools import CallInfo, Tool
from sipagent.aio.call import Engine
from sipagent.call.settings import CallSettings
from sipagent.sdp.negotiation import SrtpMode
from sipagent.sip.identity import Identity, Party
from sipagent.sip.targets import Targets


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of the calls of a line with one agent."""

    codecs: tuple[str, ...]
    call: CallSettings
    engine: Engine
    tools: tuple[Tool, ...]
    agent: str
    keys_in_rtp: bool = True
    """Whether keys that an agent presses go there, where the peer takes them."""
    account: str | None = None
    """By which we call; ``None`` where we can't."""
    transfers: Targets | None = None
    """Whom a peer may have us call; ``None`` for nobody."""
    external_address: str | None = None
    """Where its peers beyond our own networks send media, numeric; ``None``: where all others do."""
    tells_caller: bool = True
    """Whether the model is told who calls."""
    routes: tuple[tuple[Route, "Line"], ...] = ()
    """The same line with other agents, and which calls they take."""
    srtp: SrtpMode = "off"

    def choose(self, identity: Identity) -> "Line":
        """Return the line with the agent that takes such a call."""
        parties = {"caller": identity.caller, "called": Party(identity.called)}
        return next((line for route, line in self.routes if route.fits(identity, **parties)), self)

    def settings(self, identity: Identity | None) -> CallSettings:
        """Return what a call is to be like, with what the model is told of who calls."""
        if identity is None or not self.tells_caller:
            return self.call
        session = self.call.conversation.session
        instructions = f"{session.instructions}\n\n{quote_facts(identity.facts())}"
        conversation = replace(self.call.conversation, session=replace(session, instructions=instructions))
        return replace(self.call, conversation=conversation)


def info_of(call_id: str, identity: Identity, agent: str) -> CallInfo:
    """What tools may know of a call."""
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
    )
