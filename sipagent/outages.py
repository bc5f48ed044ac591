"""From what the file says of a model that fails to what calls take: other engines, sounds, and who takes over."""

from collections.abc import Mapping

import numpy as np

from sipagent.agents import make_session, make_sound, read_clip
from sipagent.aio.voice import open_voice
from sipagent.audio.clip import Clip
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.farewell import TONE, FarewellSettings
from sipagent.config import Config
from sipagent.config.settings import AgentConfig
from sipagent.formats import PCM
from sipagent.sip.uri import Uri
from sipagent.toolbox import AgentTools


def make_continuity(agent: AgentConfig, config: Config, tools: AgentTools) -> ContinuitySettings:
    """What is done about a model that fails in the middle of an agent's calls.

    :raises SipagentError: when a sound can't be read.
    """
    settings = agent.continuity
    return ContinuitySettings(
        give_up_s=settings.give_up_s,
        stalled_s=settings.stalled_s,
        lost_s=settings.lost_s,
        filler=make_sound(settings.filler, settings.level_dbfs),
        fallbacks=tuple(make_session(agent, config.engines[name], tools.definitions) for name in settings.engines),
    )


def make_farewell(agent: AgentConfig, spoken: Mapping[str, Clip], refer_to: Uri | None) -> FarewellSettings:
    """What becomes of an agent's calls when there is no model.

    :param spoken: the apologies that are words, as :func:`speak_apologies` made them.
    :raises SipagentError: when a sound can't be read.
    """
    settings = agent.continuity
    apology = settings.apology
    clip = TONE
    if apology is not None:
        clip = read_clip(apology.file) if apology.file is not None else spoken.get(apology.text, TONE)
    return FarewellSettings(clip, settings.then, settings.message_s, refer_to)


async def speak_apologies(config: Config) -> dict[str, Clip]:
    """Have what agents say without a model said now, once, by the voice of the embedded model."""
    apologies = (agent.continuity.apology for agent in config.agents.values())
    texts = {apology.text: "" for apology in apologies if apology is not None and apology.file is None}
    if not texts:
        return {}
    voice = await open_voice()
    try:
        return {text: _clip_of(await voice.render(text, "marin", 1.0, PCM)) for text in texts}
    finally:
        await voice.close()


def _clip_of(audio: bytes) -> Clip:
    """A clip of linear samples; silence for what could not be spoken."""
    samples = np.frombuffer(audio, "<i2") if audio else np.zeros(PCM.rate // 10, np.int16)
    return Clip({PCM.rate: samples})
