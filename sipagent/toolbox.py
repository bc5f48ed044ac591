"""From what the file says of tools to tools: the built-in ones, functions, requests, and servers with tools."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from sipagent.agent.approval import ApprovalPolicy
from sipagent.agent.builtin import BARE_TOOLS, TAKE_MESSAGE, TRANSFER, make_take_message, make_transfer
from sipagent.agent.http_tool import HttpToolSettings
from sipagent.agent.json_schema import expand
from sipagent.agent.tool_set import ToolSource, gather
from sipagent.agent.tools import Tool
from sipagent.aio.http_tools import HttpTools
from sipagent.aio.mcp_servers import McpServer, McpSettings, Report, open_servers
from sipagent.aio.messages import MessageBook
from sipagent.config import Config
from sipagent.config.settings import AgentConfig, TransferConfig
from sipagent.config.tool_settings import McpConfig, ToolConfig
from sipagent.config.values import Secret, ToolReference
from sipagent.errors import SipagentError


@dataclass(frozen=True, slots=True)
class AgentTools:
    """The tools of one agent."""

    own: tuple[Tool, ...]
    sources: tuple[ToolSource, ...] = ()
    hosted: tuple[dict[str, Any], ...] = ()
    """As ``session.update`` has them: those of servers that the model reaches itself."""

    @property
    def definitions(self) -> tuple[dict[str, Any], ...]:
        """All of them that there are now, as ``session.update`` has them."""
        return (*(tool.definition for tool in gather(self.own, self.sources)), *self.hosted)


class Toolbox:
    """All tools of the file; what several agents have is made once.

    :param report: is told what went wrong with an MCP server, by its name.
    """

    def __init__(self, config: Config, *, random: Random, report: Report) -> None:
        self._config = config
        self._http = HttpTools()
        self._messages = make_take_message(MessageBook(config.messages.directory).keep)
        used = {str(reference) for agent in config.agents.values() for reference in agent.tools}
        self._servers = {
            name: McpServer(_server_settings(name, server), random=random, report=report)
            for name, server in config.mcp.items()
            if name in used and not server.hosted
        }
        self.approval = _make_approval(config)

    async def open(self) -> None:
        """Start the servers, and wait a while for them."""
        await open_servers(self._servers.values())

    async def close(self) -> None:
        """End them, and let every connection go."""
        for server in self._servers.values():
            await server.close()
        await self._http.close()

    def tools_of(self, agent: AgentConfig, references: Iterable[ToolReference] | None = None) -> AgentTools:
        """Find an agent's tools.

        :param references: which; not given: all.
        :raises SipagentError: when one can't be imported or is none.
        """
        own: list[Tool] = []
        sources: list[ToolSource] = []
        hosted: list[dict[str, Any]] = []
        for reference in agent.tools if references is None else references:
            name = str(reference)
            if name == TAKE_MESSAGE:
                own.append(self._messages)
            elif name in self._servers:
                sources.append(self._servers[name])
            elif name in self._config.mcp:
                hosted.append(hosted_definition(name, self._config.mcp[name]))
            elif name in self._config.tools:
                own.append(self._make(name, self._config.tools[name]))
            else:
                own.append(load_tool(reference, agent.transfer))
        return AgentTools(tuple(own), tuple(sources), tuple(hosted))

    def _make(self, name: str, tool: ToolConfig) -> Tool:
        if tool.function is not None:
            found = load_tool(tool.function)
            needs_approval = tool.needs_approval or found.needs_approval
            return replace(found, name=name, timeout_s=tool.timeout_s, needs_approval=needs_approval)
        headers = _reveal(tool.headers)
        url, method = tool.url or "", tool.method
        settings = HttpToolSettings(name, url, method, headers, tool.body, tool.answer, tool.max_characters)
        return self._http.make(
            settings,
            description=tool.description or "",
            parameters=expand(tool.parameters),
            timeout_s=tool.timeout_s,
            needs_approval=tool.needs_approval,
        )


def hosted_definition(name: str, server: McpConfig) -> dict[str, Any]:
    """The server as ``session.update`` wants it."""
    definition: dict[str, Any] = {"type": "mcp", "server_label": name, "server_url": server.hosted}
    if server.headers:
        definition["headers"] = _reveal(server.headers)
    if server.allow:
        definition["allowed_tools"] = list(server.allow)
    if "*" in server.needs_approval:
        definition["require_approval"] = "always"
    elif server.needs_approval:
        definition["require_approval"] = {"always": {"tool_names": list(server.needs_approval)}}
    else:
        definition["require_approval"] = "never"
    return definition


def load_tool(reference: ToolReference, transfer: TransferConfig | None = None) -> Tool:
    """Find a tool.

    :param transfer: where its agent may hand calls on to.
    :raises SipagentError: when it can't be imported or is none.
    """
    if str(reference) in BARE_TOOLS:
        return BARE_TOOLS[str(reference)]
    if str(reference) == TRANSFER:
        settings = transfer or TransferConfig()
        try:
            return make_transfer(settings.destinations, allow_any=settings.allow_any)
        except TypeError as error:
            raise SipagentError(str(error)) from error
    found = import_object(reference)
    if not isinstance(found, Tool):
        raise SipagentError(f"tool {reference}: expected a function decorated with @tool")
    return found


def _make_approval(config: Config) -> ApprovalPolicy:
    approval = config.approval
    hook: Callable[..., Any] | None = None
    if approval.hook is not None:
        found = import_object(approval.hook)
        if not callable(found) or isinstance(found, Tool):
            raise SipagentError(f"approval hook {approval.hook}: expected a function")
        hook = found
    return ApprovalPolicy(hook, approval.default == "allow", approval.timeout_s)


def _server_settings(name: str, server: McpConfig) -> McpSettings:
    return McpSettings(
        name,
        command=server.command,
        env=_reveal(server.env),
        folder=server.folder,
        url=server.url or "",
        headers=_reveal(server.headers),
        allow=server.allow,
        needs_approval=server.needs_approval,
        timeout_s=server.timeout_s,
    )


def _reveal(secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in secrets.items()}


def import_object(reference: ToolReference) -> Any:
    """Import what a reference to a file or a module names.

    :raises SipagentError: when it can't be imported.
    """
    try:
        module = _import_file(reference.file) if reference.file else importlib.import_module(reference.module or "")
        return getattr(module, reference.name)
    except Exception as error:  # whatever the user's module does on import
        raise SipagentError(f"{reference}: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SipagentError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
