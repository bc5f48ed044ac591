"""A service that a program of somebody's starts: agents written in Python, from the first call to Ctrl-C."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sipagent.agent.agent import Agent
from sipagent.aio import descriptors, log, loop
from sipagent.aio.line_writer import LineWriter
from sipagent.aio.programs import OnCall
from sipagent.aio.zygote import Zygote
from sipagent.app import Application
from sipagent.call_worker import run_worker
from sipagent.config import Config, load, make_config
from sipagent.config.values import ToolReference
from sipagent.errors import SipagentError
from sipagent.toolbox import import_object


def serve(
    agents: Agent | Sequence[Agent] = (), *, config: str | Path | None = None, on_call: OnCall | None = None
) -> None:
    """Answer calls until Ctrl-C or SIGTERM, which lets those in progress end in peace.

    :param agents: who talks to callers. Without lines in the file, the first one takes every call on port 5060. They
        may all be in the file.
    :param config: the file with everything else: lines, engines, where to listen. Not given: its defaults, and the
        model of the key in OPENAI_API_KEY, or without a key the embedded one.
    :param on_call: is given each call once it is answered, to follow and to steer it.
    :raises SipagentError: when the settings are wrong, a port is taken or a tool can't be loaded.
    """
    given = [agents] if isinstance(agents, Agent) else agents
    known = by_name(given) if given or config is None else {}
    settings = configure(known.values(), config)
    with make_zygote(settings, agents=known, on_call=on_call) as zygote:
        set_up_log(settings)
        loop.run(_serve(settings, known, on_call, zygote))


def configure(agents: Iterable[Agent], config: str | Path | None = None) -> Config:
    """Return the settings of a service with these agents.

    :raises SipagentError: when they are wrong.
    """
    values = {agent.name: agent.values() for agent in agents}
    return make_config(values) if config is None else load(config, agents=values)


def by_name(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return agents by their names.

    :raises SipagentError: for no agent, or two of a name.
    """
    known: dict[str, Agent] = {}
    for agent in agents:
        if not isinstance(agent, Agent):
            raise SipagentError(f"expected an Agent, got {type(agent).__name__}")
        if known.setdefault(agent.name, agent) is not agent:
            raise SipagentError(f"two agents are called {agent.name}")
    if not known:
        raise SipagentError("there is no agent")
    return known


def find_agents(reference: str) -> list[Agent] | None:
    """Find what ``path/to/file.py:name`` or ``package.module:name`` stands for; ``None`` for a text that is neither.

    :raises SipagentError: when it can't be imported, or is no agent nor a list of them.
    """
    try:
        place = ToolReference.parse(reference)
    except ValueError:
        return None
    if place.is_named:
        return None
    if place.file is None:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as text, as the import system wants it
    found = import_object(place)
    agents = [found] if isinstance(found, Agent) else found
    if not isinstance(agents, list | tuple) or not all(isinstance(each, Agent) for each in agents):
        raise SipagentError(f"{reference}: expected an Agent or a list of them")
    return list(agents)


def set_up_log(config: Config, *, level: str | None = None, worker: int | None = None) -> LineWriter:
    """Write the log as the settings say; no secret of theirs is in it.

    :param worker: whose it is, by its number; of ours it is not said.
    """
    writer = LineWriter(sys.stderr)
    log.set_up(
        level=level or config.log.level,
        style=config.log.format,
        secrets=[secret.reveal() for secret in config.secrets],
        stream=writer,
        fields={} if worker is None else {"worker": worker},
    )
    return writer


def make_zygote(
    config: Config,
    *,
    agents: Mapping[str, Agent] | None = None,
    on_call: OnCall | None = None,
    level: str | None = None,
) -> AbstractContextManager[Zygote | None]:
    """Where there is to be more than one worker, return what makes them; before there is a log, a thread or a loop.

    :param level: of the log, where it is not that of the settings.
    :raises SipagentError: when this system can't.
    """
    if config.worker_count == 1:
        return nullcontext()

    def set_up(number: int) -> LineWriter:
        return set_up_log(config, level=level, worker=number)

    return Zygote.start(partial(run_worker, config=config, agents=agents or {}, on_call=on_call, set_up_log=set_up))


async def run_until_stopped(application: Application, console: Console) -> None:
    """Say where it can be reached, and serve until a signal says stop."""
    descriptors.allow_all()
    here, anywhere = application.uri("127.0.0.1"), escape(str(application.uri()))
    console.print(f"[bold]Ready.[/bold] Dial {here} on this machine, {anywhere} from another. Ctrl-C ends.")
    await application.run()


async def _serve(config: Config, agents: dict[str, Agent], on_call: OnCall | None, zygote: Zygote | None) -> None:
    application = Application(config, agents=agents, on_call=on_call, zygote=zygote)
    await application.start()
    try:
        await run_until_stopped(application, Console())
    finally:
        await application.stop()
