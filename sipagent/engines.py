"""From what the file says of an engine to where its model is, and how we prove there who we are."""

import ssl
from base64 import b64encode
from urllib.parse import urlencode, urlsplit, urlunsplit

from sipagent.aio.engine import Engine
from sipagent.config.engine import EngineConfig
from sipagent.config.settings import AgentConfig
from sipagent.realtime.dialects import Dialect, TurnDetection


def make_engine(config: EngineConfig, *, url: str | None = None) -> Engine:
    """Where a model is and how we prove who we are; ``url`` is the embedded one's, which asks for no proof."""
    dialect = config.spoken
    query = {dialect.model_parameter: config.model} if dialect.model_parameter else {}
    headers: dict[str, str] = {}
    if url is None:
        headers |= dialect.headers
        headers |= {name: value.reveal() for name, value in config.headers.items()}
        if dialect.subprotocols:
            headers["Sec-WebSocket-Protocol"] = ", ".join(dialect.subprotocols)
        _prove(dialect, config.api_key.reveal(), headers, query)
    address = _address(url or config.url, dialect, query)
    tls = ssl.create_default_context() if address.startswith("wss:") else None
    return Engine(address, headers, config.connect_timeout_s, tls)


def turn_detection(agent: AgentConfig, engine: EngineConfig) -> TurnDetection:
    """Who ends the caller's turn: the model where it takes no turns from us, else whom the agent's settings say."""
    if not engine.spoken.can("commit"):
        return "server"
    if agent.turn.detection == "hybrid" and "turn_detection.create_response" in engine.spoken.omitted:
        return "server"  # it answers by itself
    return agent.turn.detection


def may_barge_in(agent: AgentConfig, engine: EngineConfig) -> bool:
    """Whether we stop the agent when the caller speaks: never where that is the model's own business."""
    return agent.barge_in.enabled and engine.spoken.protocol != "live"


def _prove(dialect: Dialect, key: str, headers: dict[str, str], query: dict[str, str]) -> None:
    """Put the key where this kind of server looks for it."""
    match dialect.auth:
        case "bearer":
            headers["Authorization"] = f"Bearer {key}"
        case "api-key":
            headers["api-key"] = key
        case "basic":  # a name and a password, or what some provider has made of them already
            headers["Authorization"] = f"Basic {b64encode(key.encode()).decode() if ':' in key else key}"
        case "query":
            query[dialect.key_parameter] = key
        case "none":
            pass


def _address(url: str, dialect: Dialect, query: dict[str, str]) -> str:
    """The URL with what is to be in its query; one of a host alone leads to where the dialect is spoken."""
    parts = urlsplit(url)
    joined = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit(parts._replace(path=parts.path or dialect.path, query=joined))
