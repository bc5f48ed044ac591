"""Whether the settings of tools agree with each other, and with the agents that have them."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from sipagent.agent.http_tool import HttpToolSettings, check_template
from sipagent.agent.json_schema import SchemaArguments, expand
from sipagent.agent.tools import NAME
from sipagent.config.settings import Config
from sipagent.config.tool_settings import McpConfig, ToolConfig
from sipagent.config.values import BUILTIN_TOOLS

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

NEEDS_MCP = "it needs a package: pip install 'sipagent[mcp]'"


def problems_of(config: Config) -> Iterator[Problem]:
    """Yield what is wrong, and where."""
    for name, tool in config.tools.items():
        yield from _problems_of_name(("tools", name))
        yield from _problems_of_tool(("tools", name), tool)
    for name, server in config.mcp.items():
        yield from _problems_of_name(("mcp", name))
        if name in config.tools:
            yield ("mcp", name), "the name of a tool, too"
        yield from _problems_of_server(("mcp", name), server)
    hook = config.approval.hook
    if hook is not None and hook.file is None and hook.module is None:
        yield ("approval", "hook"), "expected path/to/file.py:function or package.module:function"


def names_of_tools(children: Callable[[Path], list[str | int]]) -> list[str]:
    """The names by which an agent may have a tool.

    :param children: returns the keys of what stands in the file at a path.
    """
    return [*map(str, (*children(("tools",)), *children(("mcp",)))), *sorted(BUILTIN_TOOLS)]


def _problems_of_name(path: Path) -> Iterator[Problem]:
    name = str(path[-1])
    if name in BUILTIN_TOOLS:
        yield path, "the name of a built-in tool"
    elif not NAME.fullmatch(name):
        yield path, "expected a name of 1 to 64 letters, digits, _ or -"


def _problems_of_tool(path: Path, tool: ToolConfig) -> Iterator[Problem]:
    if (tool.function is None) == (tool.url is None):
        yield path, "expected either a url or a function"
        return
    if tool.url is None:
        for key in ("description", "parameters", "headers", "body", "answer"):
            if getattr(tool, key):
                yield (*path, key), "it is for a tool with a url; a function brings its own"
        if tool.function is not None and tool.function.file is None and tool.function.module is None:
            yield (*path, "function"), "expected path/to/file.py:function or package.module:function"
        return
    if tool.description is None:
        yield (*path, "description"), "missing; from it the model learns when to use the tool"
    if tool.answer and not tool.answer.startswith("/"):
        yield (*path, "answer"), "expected a JSON pointer such as /order/state"
    try:
        schema = SchemaArguments(expand(tool.parameters)).schema
    except TypeError as error:
        yield (*path, "parameters"), str(error)
        return
    try:
        check_template(HttpToolSettings(str(path[-1]), tool.url, tool.method, body=tool.body), schema["properties"])
    except ValueError as error:
        yield (*path, "url"), str(error)


def _problems_of_server(path: Path, server: McpConfig) -> Iterator[Problem]:
    ways = [way for way in ("command", "url", "hosted") if getattr(server, way)]
    if len(ways) != 1:
        yield path, "expected one of command, url and hosted"
        return
    (way,) = ways
    if way != "command" and not _is_address(getattr(server, way)):
        yield (*path, way), "expected an address after https:// or http://"
    if way == "command" and server.headers:
        yield (*path, "headers"), "they are for a server with a url"
    for key in ("env", "folder"):
        if way != "command" and getattr(server, key):
            yield (*path, key), "it is for a server with a command"
    if way != "hosted" and find_spec("mcp") is None:
        yield (*path, way), NEEDS_MCP


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
