"""What the embedded model makes of a WebSocket handshake: who may come in, and with which protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest

import msgspec

from sipagent.realtime.local.settings import LocalSettings

PATH = "/v1/realtime"
LIVE_PATH = "/v1/live/sessions"
"""Where the Live server is, whose first message names the model."""
SUBPROTOCOL_KEY = "openai-insecure-api-key."
MAX_MODEL_LENGTH = 128
"""The API's names are far shorter; a longer one is a mistake or an attack."""

REASONS = {
    400: ("missing_required_parameter", "You must provide a model parameter."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    403: ("unsupported_country_region_territory", "This request is not allowed from here."),
    404: ("unknown_url", "Invalid URL: the Realtime API is at /v1/realtime."),
    429: ("rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", "The server had an error while processing your request."),
    503: ("server_error", "The engine is currently overloaded, please try again later."),
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """Let it in; ``beta`` clients are told off after the handshake, as the API does."""

    model: str
    beta: bool
    number: int
    """Which connection of this server it is, counted from 1: the fault script asks."""
    is_live: bool = False
    """Whether it is for the Live server."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer with this HTTP status and JSON body."""

    status: int
    body: bytes


def judge_handshake(
    settings: LocalSettings, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, number: int = 1
) -> Accepted | Refused:
    """Judge the request for ``path`` with its ``query``, unescaped, and its ``headers``, names in lower case."""
    fault = settings.faults.within(number).find("refuse_handshake", number)
    if fault is not None:
        return refuse(fault.status)
    if path not in (PATH, LIVE_PATH):
        return refuse(404)
    if settings.api_key is not None and not _bears(settings.api_key, headers):
        return refuse(401)
    if path == LIVE_PATH:
        return refuse(400) if query else Accepted("", False, number, is_live=True)
    model = query.get("model", "")
    if not 0 < len(model) <= MAX_MODEL_LENGTH:
        return refuse(400)
    return Accepted(model, "realtime=v1" in headers.get("openai-beta", ""), number)


def refuse(status: int) -> Refused:
    """The refusal the API would give with this status."""
    code, message = REASONS.get(status, ("server_error", "The request was refused."))
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Refused(status, msgspec.json.encode({"error": error}))


def _bears(key: str, headers: Mapping[str, str]) -> bool:
    """Whether the key is in the Authorization header, or among the subprotocols as browsers send it."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    offered = [token.strip()] if scheme.lower() == "bearer" else []
    protocols = [protocol.strip() for protocol in headers.get("sec-websocket-protocol", "").split(",")]
    offered += [p.removeprefix(SUBPROTOCOL_KEY) for p in protocols if p.startswith(SUBPROTOCOL_KEY)]
    return any(compare_digest(candidate.encode(errors="replace"), key.encode()) for candidate in offered)
