"""The agents of one call: who talks, and what each of the others would bring."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sipagent.agent.approval import ApprovalPolicy
from sipagent.agent.builtin import HAND_OVER
from sipagent.agent.tool_set import gather
from sipagent.agent.tools import CallInfo, ToolArgumentError
from sipagent.aio.line import Line
from sipagent.call.succession import AgentChange
from sipagent.sip.identity import Identity


class Staff:
    """Who talks first is whom the line chose.

    :param moment: tells the date and the time.
    :param report: is told of what instructions that are a function raised.
    """

    def __init__(
        self,
        line: Line,
        info: CallInfo,
        identity: Identity | None,
        *,
        moment: Callable[[], datetime],
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._line = line
        self._identity = identity
        self._moment = moment
        self._report = report
        self._hired: Line | None = None
        self.tools = gather(line.tools, line.sources)
        """Those of the present agent."""
        self.info = info
        """What the present agent's tools may know."""

    @property
    def approval(self) -> ApprovalPolicy:
        """Who is asked about those that need it."""
        return self._line.approval

    @property
    def may_hand_over(self) -> bool:
        """Whether the present agent can hand the call over."""
        return bool(self._line.hand_over)

    def prepare(self, arguments: str) -> AgentChange | str:
        """Return what becomes of a call of the tool, or why nothing does, as a sentence for the model.

        :param arguments: JSON, as the model wrote it.
        """
        tool = next(tool for tool in self.tools if tool.name == HAND_OVER)
        try:
            given = tool.parse_arguments(arguments)
        except ToolArgumentError as error:
            return str(error)
        return self.change_to(given["agent"], reason=given.get("reason", ""))

    def change_to(self, agent: str, *, reason: str = "") -> AgentChange | str:
        """Return what an agent brings, or why it can't come."""
        line = self._line.others.get(agent)
        if line is None:
            return f"There is no agent {agent} for this call."
        if line.companion is not None:
            return f"The agent {agent} is run by the Agents SDK, which begins with the call."
        try:
            tools = gather(line.tools, line.sources)
            settings = line.settings(self._info_of(agent), self._identity, tools)
        except Exception as error:  # noqa: BLE001 - whatever a function of the user's raises costs this change only
            self._report(f"instructions of {agent}", error)
            return f"The agent {agent} can't take over now."
        return AgentChange(agent, self.info.agent, settings.conversation, settings.transfer, reason=reason)

    def hire(self, line: Line) -> AgentChange:
        """Return what an agent brings that the configuration does not know."""
        self._hired = line
        settings = line.settings(self._info_of(line.agent), self._identity, gather(line.tools, line.sources))
        return AgentChange(line.agent, self.info.agent, settings.conversation, settings.transfer)

    def changed(self, agent: str) -> None:
        """Take note that another agent talks."""
        hired, self._hired = self._hired, None
        self._line = hired if hired is not None and hired.agent == agent else self._line.others[agent]
        self.tools = gather(self._line.tools, self._line.sources)
        self.info = self._info_of(agent)

    def _info_of(self, agent: str) -> CallInfo:
        return replace(self.info, agent=agent, time=self._moment())
