"""What makes agents of what the file says of them: tools, sounds, and what the model is asked to be."""

import importlib
import importlib.util
from pathlib import Path
from random import Random
from types import ModuleType

from msgspec.structs import astuple

from sipagent.agent.builtin import HANG_UP, KEY_TOOLS, TRANSFER, make_transfer
from sipagent.agent.tools import Tool
from sipagent.audio.clip import RATES, Clip
from sipagent.audio.noise import comfort_noise
from sipagent.audio.wav import WavError
from sipagent.call.ambience import AmbienceSettings
from sipagent.call.budget import PRICES, BudgetSettings, Prices
from sipagent.call.conversation import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.silence import SilenceSettings
from sipagent.call.turn import TurnSettings
from sipagent.config.settings import AgentConfig, EngineConfig, TransferConfig
from sipagent.config.values import ToolReference
from sipagent.errors import SipagentError
from sipagent.realtime.settings import SessionSettings

BARE_TOOLS = {HANG_UP.name: HANG_UP, **KEY_TOOLS}
"""The built-in tools that need no settings."""

NOISE_SEED = 1
"""Noise is noise: all calls may have the same."""


def make_conversation(agent: AgentConfig, engine: EngineConfig, tools: tuple[Tool, ...]) -> ConversationSettings:
    """How an agent listens and talks.

    :raises SipagentError: when a sound can't be read.
    """
    turn = TurnSettings(
        start_ms=agent.turn.start_ms,
        barge_in_ms=agent.barge_in.confirm_ms,
        end_silence_ms=agent.turn.end_silence_ms,
        max_turn_ms=agent.turn.max_turn_ms,
    )
    return ConversationSettings(
        session=make_session(agent, engine, tools),
        greeting=_greeting(agent),
        listener=ListenerSettings(detection=agent.turn.detection, preroll_ms=agent.turn.preroll_ms, turn=turn),
        barge_in=agent.barge_in.enabled,
        ambience=_make_ambience(agent),
        key_tools=frozenset(map(str, agent.tools)) & KEY_TOOLS.keys(),
    )


def make_session(agent: AgentConfig, engine: EngineConfig, tools: tuple[Tool, ...]) -> SessionSettings:
    """What the model is asked to be."""
    return SessionSettings(
        model=engine.model,
        instructions=agent.instructions,
        voice=agent.voice,
        turn_detection=agent.turn.detection,
        transcription_model=engine.transcription_model,
        language=agent.language,
        tools=tuple(tool.definition for tool in tools),
        max_output_tokens=engine.max_output_tokens,
        speed=agent.speed,
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
    try:
        module = _import_file(reference.file) if reference.file else importlib.import_module(reference.module or "")
        found = getattr(module, reference.name)
    except Exception as error:  # whatever the user's module does on import
        raise SipagentError(f"tool {reference}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tool):
        raise SipagentError(f"tool {reference}: expected a function decorated with @tool")
    return found


def _greeting(agent: AgentConfig) -> str | None:
    """What the model is asked to begin with: an announcement in words comes before everything else."""
    announcement = agent.announcement
    if announcement is None or announcement.file is not None:
        return agent.greeting
    first = f'Say first, word for word: "{announcement.text}"'
    return f"{first} Say nothing else." if agent.greeting is None else f"{first} Then: {agent.greeting}"


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


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SipagentError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
