"""Where the model of an engine is, and how we prove there who we are."""

import pytest

from sipagent.config import EngineConfig, Secret, TurnConfig
from sipagent.config.settings import AgentConfig, BargeInConfig
from sipagent.engines import make_engine, may_barge_in, turn_detection

KEY = Secret("a:key")


@pytest.mark.parametrize(
    ("settings", "url", "headers"),
    [
        ({}, "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1", {"Authorization": "Bearer a:key"}),
        ({"dialect": "xai"}, "wss://api.x.ai/v1/realtime?model=grok-voice-latest", {"Authorization": "Bearer a:key"}),
        (
            {"dialect": "azure", "url": "wss://mine.openai.azure.com", "model": "my deployment"},
            "wss://mine.openai.azure.com/openai/v1/realtime?model=my+deployment",
            {"api-key": "a:key"},
        ),
        ({"dialect": "live"}, "wss://api.openai.com/v1/live/sessions", {"Authorization": "Bearer a:key"}),
        (
            {"dialect": "live", "auth": "api-key", "url": "wss://mine.openai.azure.com/openai/v1/live/sessions"},
            "wss://mine.openai.azure.com/openai/v1/live/sessions",
            {"api-key": "a:key"},
        ),
        (
            {"dialect": "pcm", "url": "ws://box:8000/v1/realtime?voice=x", "model": "m", "auth": "query"},
            "ws://box:8000/v1/realtime?voice=x&model=m&api_key=a%3Akey",
            {},
        ),
        (
            {"dialect": "pcm", "url": "ws://box", "model": "m", "auth": "basic"},
            "ws://box/v1/realtime?model=m",
            {"Authorization": "Basic YTprZXk="},
        ),
        (
            {"dialect": "pcm", "url": "ws://box", "model": "m", "auth": "none", "subprotocols": ("realtime", "b")},
            "ws://box/v1/realtime?model=m",
            {"Sec-WebSocket-Protocol": "realtime, b"},
        ),
        (
            {"headers": {"OpenAI-Project": Secret("proj")}},
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
            {"OpenAI-Project": "proj", "Authorization": "Bearer a:key"},
        ),
    ],
)
def test_address_and_proof(settings: dict[str, object], url: str, headers: dict[str, str]) -> None:
    engine = make_engine(EngineConfig(**{"api_key": KEY, **settings}))  # type: ignore[arg-type]
    assert engine.url == url
    assert dict(engine.headers) == headers
    assert (engine.tls is not None) is url.startswith("wss:")
    assert "key" not in repr(engine)


def test_a_basic_credential_that_is_made_already_is_sent_as_it_is() -> None:
    engine = make_engine(EngineConfig(url="ws://box", api_key=Secret("YTprZXk="), auth="basic"))
    assert engine.headers["Authorization"] == "Basic YTprZXk="


@pytest.mark.parametrize(("dialect", "spoken"), [("openai", "openai"), ("xai", "openai"), ("live", "live")])
def test_without_a_key_the_embedded_model_speaks_the_protocol(dialect: str, spoken: str) -> None:
    config = EngineConfig(dialect=dialect)  # type: ignore[arg-type]
    assert config.is_embedded
    assert config.spoken.name == spoken
    assert make_engine(config, url="ws://127.0.0.1:9/x").headers == {}


@pytest.mark.parametrize(
    ("dialect", "model"), [("openai", "gpt-realtime-2.1"), ("live", "gpt-live-1"), ("pcm", "gpt-realtime-2.1")]
)
def test_the_embedded_model_answers_to_any_name(dialect: str, model: str) -> None:
    assert EngineConfig(dialect=dialect, url="local").model == model  # type: ignore[arg-type]


def test_a_server_that_wants_no_key_needs_none() -> None:
    config = EngineConfig(dialect="pcm", url="ws://box", model="m", auth="none", rate=16000, lacks=("cancel",))
    assert not config.is_embedded
    assert (config.spoken.rate, config.spoken.can("cancel"), config.spoken.can("commit")) == (16000, False, True)


@pytest.mark.parametrize(
    ("engine", "detection", "stops"),
    [
        (EngineConfig(api_key=KEY), "local", True),
        (EngineConfig(dialect="xai", api_key=KEY), "server", True),
        (EngineConfig(lacks=("commit",), api_key=KEY), "server", True),
        (EngineConfig(dialect="live", api_key=KEY), "server", False),
    ],
)
def test_who_has_the_floor(engine: EngineConfig, detection: str, stops: bool) -> None:
    agent = AgentConfig(engine="e", instructions="i", turn=TurnConfig(detection="local"))
    assert turn_detection(agent, engine) == detection
    assert may_barge_in(agent, engine) is stops
    assert not may_barge_in(AgentConfig(engine="e", instructions="i", barge_in=BargeInConfig(enabled=False)), engine)


def test_a_header_of_the_user_is_a_secret_unless_it_is_a_word() -> None:
    config = EngineConfig(headers={"A": Secret("0123456789"), "B": Secret("eu")})
    assert [secret.reveal() for secret in config.secrets] == ["", "0123456789"]
