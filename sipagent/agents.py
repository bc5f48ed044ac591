"""What makes agents of what the file says of them: tools, sounds, and what the model is asked to be."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import astuple

from sipagent.agent import backchannels
from sipagent.agent.agent import Agent
from sipagent.agent.builtin import CALL_TOOLS, HOLD, KEY_TOOLS, make_hand_over
from sipagent.agent.knowledge import MAX_CHARACTERS, Document, Knowledge, as_instructions, make_search
from sipagent.agent.profile import Instructions, Profile, Words
from sipagent.agent.template import Template
from sipagent.agent.tools import Tool, tool
from sipagent.audio.clip import RATES, Clip
from sipagent.audio.noise import comfort_noise
from sipagent.audio.typing_noise import typing_noise
from sipagent.audio.wav import WavError
from sipagent.call.ambience import AmbienceSettings
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.budget import PRICES, BudgetSettings, Prices
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.privacy import PrivacySettings
from sipagent.call.silence import SilenceSettings
from sipagent.call.stopgap import StopgapSettings
from sipagent.call.turn import TurnSettings
from sipagent.call.turn_end import TurnEndSettings
from sipagent.config import Config
from sipagent.config.engine import EngineConfig
from sipagent.config.settings import AgentConfig, BargeInConfig, ThinkingConfig, TurnConfig
from sipagent.config.values import Filler
from sipagent.engines import may_barge_in, turn_detection
from sipagent.errors import SipagentError
from sipagent.realtime.settings import ServerVad, SessionSettings
from sipagent.toolbox import AgentTools, Toolbox

SOUNDS = {"noise": comfort_noise, "typing": typing_noise}
"""Those that are made here."""

NOISE_SEED = 1
"""Noise is noise: all calls may have the same."""


def make_tools(
    name: str, config: Config, knowledge: Sequence[Document], python: Agent | None = None, *, toolbox: Toolbox
) -> AgentTools:
    """What an agent can do.

    :param knowledge: what :func:`read_knowledge` returned.
    :param python: the agent as it is written in Python, if it is.
    :param toolbox: has what the file names.
    :raises SipagentError: when a tool can't be loaded, or there are two of a name.
    """
    agent = config.agents[name]
    found = toolbox.tools_of(agent)
    tools = list(found.own)
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
    return replace(found, own=tuple(tools))


def make_profile(agent: AgentConfig, knowledge: Sequence[Document], python: Agent | None = None) -> Profile:
    """What an agent is told; the parameters are those of :func:`make_tools`."""
    announcement = agent.announcement
    has_greeting = agent.greeting is not None or (python is not None and python.greeting is not None)
    return Profile(
        instructions=_words(agent.instructions, python.instructions if python else None),
        greeting=_words(agent.greeting, python.greeting if python else None) if has_greeting else None,
        is_exact=agent.greeting_by.name == "exactly",
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


def make_conversation(agent: AgentConfig, engine: EngineConfig, tools: AgentTools) -> ConversationSettings:
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
    names = frozenset(tool.name for tool in tools.own)
    return ConversationSettings(
        session=make_session(agent, engine, tools.definitions),
        listener=ListenerSettings(
            detection=turn_detection(agent, engine),
            vad=agent.turn.detector,
            preroll_ms=agent.turn.preroll_ms,
            echo_guard=agent.barge_in.echo_guard,
            turn=turn,
            turn_end=_make_turn_end(agent.turn),
        ),
        barge_in=_make_barge_in(agent.barge_in, is_enabled=may_barge_in(agent, engine)),
        greeting_after=agent.greeting_after,
        greeting_clip=read_clip(agent.greeting_by.file) if agent.greeting_by.file is not None else None,
        ambience=_make_ambience(agent),
        stopgap=_make_stopgap(agent.thinking),
        key_tools=frozenset(names & KEY_TOOLS.keys()),
        call_tools=frozenset(names & CALL_TOOLS.keys()),
        tells_words=agent.sdk is not None,
        music=make_sound(agent.hold.sound, agent.hold.level_dbfs) if HOLD.name in names else None,
    )


def _make_turn_end(turn: TurnConfig) -> TurnEndSettings | None:
    """How long a silence ends a turn; ``None`` where its bounds leave no choice."""
    usual_ms = turn.end_silence_ms
    min_ms, max_ms = min(turn.min_end_silence_ms, usual_ms), max(turn.max_end_silence_ms, usual_ms)
    return TurnEndSettings(usual_ms, min_ms, max_ms) if min_ms < max_ms else None


def make_privacy(name: str, config: Config) -> PrivacySettings:
    """What is not told of the calls of an agent, and of the agents to whom it may hand them over."""
    names = [name]
    for each in names:  # which grows
        names += [other for other in config.agents[each].hand_over if other not in names]
    asked = [config.agents[each].privacy for each in names]
    rules = dict.fromkeys(str(rule) for each in asked for rule in each.redact)
    languages = dict.fromkeys(language for each in asked for language in each.languages)
    return PrivacySettings(tuple(rules), tuple(languages), any(each.pci_pause for each in asked))


def make_session(agent: AgentConfig, engine: EngineConfig, tools: Sequence[dict[str, Any]]) -> SessionSettings:
    """What the model is asked to be.

    :param tools: as ``session.update`` has them.
    """
    return SessionSettings(
        model=engine.model,
        instructions=str(agent.instructions),
        voice=agent.voice,
        turn_detection=turn_detection(agent, engine),
        server_vad=ServerVad(*astuple(agent.turn.server)),
        transcription_model=engine.transcription_model,
        language=agent.language,
        keywords=agent.keywords,
        noise_reduction=agent.noise_reduction,
        tools=tuple(tools),
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
    known = None if engine.is_embedded else PRICES.get(engine.model)
    prices = known if given is None else Prices(*astuple(given))
    return BudgetSettings(prices, agent.max_cost_usd, agent.max_tokens)


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


def _make_stopgap(thinking: ThinkingConfig) -> StopgapSettings | None:
    return StopgapSettings(thinking.phrase, thinking.phrase_after_ms / 1000) if thinking.phrase is not None else None


def _make_ambience(agent: AgentConfig) -> AmbienceSettings | None:
    """What is heard beside the agent, read and converted now; ``None`` for nothing.

    :raises SipagentError: for a file that is no WAV file.
    """
    announcement = agent.announcement.file if agent.announcement is not None else None
    thinking = agent.thinking
    if announcement is None and thinking.sound.name == "none":
        return None
    filler = make_sound(thinking.sound, thinking.level_dbfs)
    return AmbienceSettings(read_clip(announcement) if announcement else None, filler, thinking.after_ms)


def make_sound(sound: Filler, level_dbfs: float) -> Clip | None:
    """The sound that is named, read and converted now; ``None`` for nothing.

    :raises SipagentError: for a file that is no WAV file.
    """
    if sound.file is not None:
        return read_clip(sound.file).at_level(level_dbfs)
    make = SOUNDS.get(sound.name)
    return Clip({rate: make(level_dbfs, random=Random(NOISE_SEED), rate=rate) for rate in RATES}) if make else None


def read_clip(file: Path) -> Clip:
    """Read a WAV file.

    :raises SipagentError: when it is none.
    """
    try:
        return Clip.read(file.read_bytes())
    except (OSError, WavError) as error:
        raise SipagentError(f"{file}: {error}") from error
