"""Whether each agent has words, its own or those of an agent of the Agents SDK, and what such a one can't be beside."""

from collections.abc import Iterator
from importlib.util import find_spec

from sipagent.config.settings import Config

Path = tuple[str | int, ...]

NEEDS_SDK = "it needs a package: pip install 'sipagent[agents]'"


def problems_of_agents(config: Config) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong, and where."""
    for name, agent in config.agents.items():
        if agent.sdk is not None:
            yield from _problems_of_sdk(name, config)
        elif not agent.instructions:
            yield ("agents", name, "instructions"), "missing; expected some text"
        for i, other in enumerate(agent.hand_over):
            if other in config.agents and config.agents[other].sdk is not None:
                yield ("agents", name, "hand_over", i), "an agent of the Agents SDK begins with the call"


def _problems_of_sdk(name: str, config: Config) -> Iterator[tuple[Path, str]]:
    agent, path = config.agents[name], ("agents", name, "sdk")
    if agent.sdk is not None and agent.sdk.is_named:
        yield path, "expected path/to/file.py:agent or package.module:agent"
    elif find_spec("agents") is None:
        yield path, NEEDS_SDK
    if agent.instructions:
        yield ("agents", name, "instructions"), "the agent of the Agents SDK has its own"
    if agent.hand_over:
        yield ("agents", name, "hand_over"), "the agent of the Agents SDK has hand-offs of its own"
    engine = config.engines.get(agent.engine)
    if engine is not None and engine.dialect == "live":
        yield path, "GPT-Live can't become another agent in the middle of a call"
