"""The agents of the OpenAI Agents SDK that the file names; the SDK is imported where there are some, and only there."""

import importlib
from collections.abc import Mapping
from typing import Protocol

from sipagent.agent.agent import Agent
from sipagent.aio.line import Companion
from sipagent.config import Config
from sipagent.errors import SipagentError
from sipagent.toolbox import import_object

BRIDGE = "sipagent.aio.agents_sdk"
"""The module that needs the extra ``agents``."""


class SdkAgent(Companion, Protocol):
    """One of them: what of it is as if it were written for us, and what runs it."""

    agent: Agent


def load_sdk_agents(config: Config) -> Mapping[str, SdkAgent]:
    """Import those of the agents that are the SDK's, by their names.

    :raises SipagentError: when one can't be imported or can't be in a call, or the SDK is missing.
    """
    named = {name: agent.sdk for name, agent in config.agents.items() if agent.sdk is not None}
    if not named:
        return {}
    try:
        bridge = importlib.import_module(BRIDGE)
    except ImportError as error:
        raise SipagentError(f"agents: {error}: pip install 'sipagent[agents]'") from error
    return {name: bridge.SdkAgent(name, import_object(reference)) for name, reference in named.items()}
