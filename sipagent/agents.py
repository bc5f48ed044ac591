"""What makes agents of what the file says of them: tools, sounds, and what the model is asked to be."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from msgspec.structs import astuple

from sipagent.agent import backchannels
from sipagent.agent.agent import Agent
from sipagent.agent.builtin import HANG_UP, KEY_TOOLS, TRANSFER, make_hand_over, make_transfer
from sipagent.agent.knowledge import MAX_CHARACTERS, Document, Knowledge, as_instructions, make_search
from sipagent.agent.profile import Instructions, Profile, Words
from sipagent.agent.template import Template
from sipagent.agent.tools import Tool, tool
from sipagent.audio.clip import RATES, Clip
from sipagent.audio.noise import comfort_noise
from sipagent.audio.wav import WavError
from sipagent.call.ambience import AmbienceSettings
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.budget import PRICES, BudgetSettings, Prices
from sipagent.call.conversation import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.silence import SilenceSettings
from sipagent.call.turn import TurnSettings
from sipagent.config import Config
from sipagent.config.engine import EngineConfig
from sipagent.config.settings import AgentConfig, BargeInConfig, TransferConfig
from sipagent.config.values import ToolReference
from sipagent.engines import may_barge_in, turn_detection
from sipagent.errors import SipagentError
from sipagent.realtime.settings import SessionSettings

BARE_TOOLS = {HANG_UP.name: HANG_UP, **KEY_TOOLS}
"""The built-in tools that need no settings."""

NOISE_SEED = 1
"""Noise is noise: all calls may have the same."""


def make_tools(name: str, config: Config, knowledge: Sequence[Document], python: Agent | None = None) -> list[Tool]:
    """What an agent can do.

    :param knowledge: what :func:`read_knowledge` returned.
    :param python: the agent as it is written in Python, if it is.
    :raises SipagentError: when a tool can't be loaded, or there are two of a name.
    """
    agent = config.agents[name]
    tools = [load_tool(reference, agent.transfer) for reference in agent.tools]
    if python is not None:
        tools += [_as_tool(each) for each in python.tools if not isinstance(each, str)]
    if not _is_short(agent, knowledge):
        names = [document.name for document in knowledge]
        tools.append(make_search(Knowledge(knowledge), limit=agent.knowledge.answer_characters, about=names))
    if agent.hand_over:
        tools.append(make_hand_over({other: config.agents[other].description or "" for other in agent.hand_over}))
    names = [tool.name for tool in tools]
    for twice in {each for each in names if names.count(each) > 1}:
        raise SipagentError(f"agent {name}: two tools are called {twice}")
    return tools


def make_profile(agent: AgentConfig, knowledge: Sequence[Document], python: Agent | None = None) -> Profile:
    """What an agent is told; the parameters are those of :func:`make_tools`."""
    announcement = agent.announcement
    has_greeting = agent.greeting is not None or (python is not None and python.greeting is not None)
    return Profile(
        instructions=_words(agent.instructions, python.instructions if python else None),
        greeting=_words(agent.greeting, python.greeting if python else None) if has_greeting else None,
        prelude=None if announcement is None or announcement.file is not None else announcement.text,
        knowledge=as_instructions(knowledge) if knowledge and _is_short(agent, knowledge) else "",
        tells_caller=agent.caller_data,
    )


def read_knowledge(agent: AgentConfig) -> list[Document]:
    """Read the files of what an agent knows.

    :raises SipagentError: when one can't be read, or all are too long together.
    """
    documents = [Document(each.name, _read_text(each.file)) for each in agent.knowledge.files]
    if sum(len(document.text) for document in documents) > MAX_CHARACTERS:
        raise SipagentError(f"knowledge: the files have more than {MAX_CHARACTERS} characters")
    return documents


def make_conversation(agent: AgentConfig, engine: EngineConfig, tools: Sequence[Tool]) -> ConversationSettings:
    """How an agent listens and talks.

    :raises SipagentError: when a sound can't be read.
    """
    turn = TurnSettings(
        start_ms=agent.turn.start_ms,
        confirm_ms=agent.barge_in.confirm_ms,
        resume_ms=agent.barge_in.resume_ms,
        end_silence_ms=agent.turn.end_silence_ms,
        max_turn_ms=agent.turn.max_turn_ms,
    )
    return ConversationSettings(
        session=make_session(agent, engine, tools),
        listener=ListenerSettings(detection=turn_detection(agent, engine), preroll_ms=agent.turn.preroll_ms, turn=turn),
        barge_in=_make_barge_in(agent.barge_in, is_enabled=may_barge_in(agent, engine)),
        ambience=_make_ambience(agent),
        key_tools=frozenset(map(str, agent.tools)) & KEY_TOOLS.keys(),
    )


def make_session(agent: AgentConfig, engine: EngineConfig, tools: Sequence[Tool]) -> SessionSettings:
    """What the model is asked to be."""
    return SessionSettings(
        model=engine.model,
        instructions=str(agent.instructions),
        voice=agent.voice,
        turn_detection=turn_detection(agent, engine),
        transcription_model=engine.transcription_model,
        language=agent.language,
        tools=tuple(tool.definition for tool in tools),
        max_output_tokens=engine.max_output_tokens,
        speed=agent.speed,
        dialect=engine.spoken,
        delegation_model=engine.delegation_model,
        setup_timeout_s=engine.connect_timeout_s,
    )


def make_silence(agent: AgentConfig) -> SilenceSettings | None:
    """What is done about a caller who says nothing any more; ``None`` for nothing."""
    silence = agent.silence
    if silence.prompt_s is None:
        return None
    return SilenceSettings(silence.prompt_s, silence.prompts, silence.instructions)


def make_budget(agent: AgentConfig, engine: EngineConfig) -> BudgetSettings:
    """What an agent's calls may cost, with this engine."""
    given = engine.prices
    prices = PRICES.get(engine.model) if given is None else Prices(*astuple(given))
    return BudgetSettings(prices, agent.max_cost_usd, agent.max_tokens)


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


def _make_barge_in(config: BargeInConfig, *, is_enabled: bool) -> BargeInSettings:
    phrases = (*backchannels.DEFAULT, *config.backchannels)
    return BargeInSettings(is_enabled, config.guard_s, backchannels.Backchannels(phrases))


def _words(text: str | None, python: Instructions | None) -> Words:
    """The words of the file, or what an agent in Python makes of each call."""
    return python if python is not None and not isinstance(python, str) else Template.parse(text or "")


def _is_short(agent: AgentConfig, knowledge: Sequence[Document]) -> bool:
    """Whether the model gets the texts whole."""
    return sum(len(document.text) for document in knowledge) <= agent.knowledge.prompt_characters


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(4 * MAX_CHARACTERS).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SipagentError(f"{file}: expected UTF-8") from error
    except OSError as error:
        raise SipagentError(f"{file}: {error.strerror or error}") from error


def _as_tool(function: Tool | Callable[..., Any]) -> Tool:
    try:
        return function if isinstance(function, Tool) else tool(function)
    except TypeError as error:
        raise SipagentError(str(error)) from error


def _make_ambience(agent: AgentConfig) -> AmbienceSettings | None:
    """What is heard beside the agent, read and converted now; ``None`` for nothing.

    :raises SipagentError: for a file that is no WAV file.
    """
    announcement = agent.announcement.file if agent.announcement is not None else None
    thinking = agent.thinking
    if announcement is None and thinking.sound.name == "none":
        return None
    filler = None
    if thinking.sound.file is not None:
        filler = _read_clip(thinking.sound.file).at_level(thinking.level_dbfs)
    elif thinking.sound.name == "noise":
        seed = Random(NOISE_SEED)
        filler = Clip({rate: comfort_noise(thinking.level_dbfs, random=seed, rate=rate) for rate in RATES})
    return AmbienceSettings(_read_clip(announcement) if announcement else None, filler, thinking.after_ms)


def _read_clip(file: Path) -> Clip:
    try:
        return Clip.read(file.read_bytes())
    except (OSError, WavError) as error:
        raise SipagentError(f"{file}: {error}") from error


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
