"""A model, and how to reach it: what is not given is what its dialect says."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from sipagent.config.values import Secret
from sipagent.realtime.dialects import DIALECTS, LIVE, OPENAI, Auth, Capability, Dialect

Text: TypeAlias = Annotated[str, Meta(min_length=1)]

MIN_SECRET: Final = 8
"""Characters of the shortest key that anybody hands out."""

LOCAL: Final = "local"
"""The URL that stands for the embedded model."""

EMBEDDED: Final[Mapping[str, Dialect]] = MappingProxyType({"realtime": OPENAI, "live": LIVE})
"""What the embedded model speaks in the place of a server, by its protocol."""

Price: TypeAlias = Annotated[float, Meta(ge=0, le=100_000)]


class PricesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model's tokens cost, in USD a million, and what a minute, where it is sold by time."""

    text_in: Price
    text_cached: Price
    text_out: Price
    audio_in: Price
    audio_cached: Price
    audio_out: Price
    minute: Price = 0.0


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A model, and how to reach it."""

    dialect: Literal["openai", "azure", "xai", "pcm", "live"] = "openai"
    url: Text = OPENAI.url
    model: Text = OPENAI.model
    api_key: Secret = field(default_factory=Secret)
    auth: Literal["auto", "bearer", "api-key", "basic", "query", "none"] = "auto"
    headers: dict[str, Secret] = field(default_factory=dict)
    subprotocols: tuple[Text, ...] = ()
    rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 24_000
    lacks: tuple[
        Literal["cancel", "truncate", "clear", "commit", "noise_reduction", "transcription", "reasoning"], ...
    ] = ()
    session_limit_s: Annotated[float, Meta(ge=60, le=86_400)] = OPENAI.session_limit_s
    without_key: Literal["local", "fail"] = "local"
    transcription_model: Text | None = "gpt-live-transcribe"
    delegation_model: Text = "gpt-5.5"
    max_output_tokens: Annotated[int, Meta(ge=1, le=4096)] = 4096
    prices: PricesConfig | None = None
    connect_timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0

    def __post_init__(self) -> None:
        """Let what is not given be what the dialect says, which may be nothing."""
        dialect = DIALECTS[self.dialect]
        if self.url == OPENAI.url:
            force_setattr(self, "url", dialect.url)
        if self.model == OPENAI.model:
            force_setattr(self, "model", dialect.model or (self.model if self.url == LOCAL else ""))

    @property
    def is_embedded(self) -> bool:
        """Whether the embedded model stands in, because it is meant or because there is no key."""
        needs_key = self.auth != "none" and self.without_key == "local"
        return self.url == LOCAL or (needs_key and not self.api_key)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must never be shown; a short field of a header is no secret, and may be a word of every line."""
        fields = (value for value in self.headers.values() if len(value.reveal()) >= MIN_SECRET)
        return (self.api_key, *fields)

    @property
    def spoken(self) -> Dialect:
        """The dialect of whoever answers, with what is set here."""
        dialect = DIALECTS[self.dialect]
        if self.is_embedded:
            return EMBEDDED[dialect.protocol]
        lacks: tuple[Capability, ...] = self.lacks
        auth: Auth = dialect.auth if self.auth == "auto" else self.auth
        return replace(
            dialect.without(*lacks),
            auth=auth,
            rate=self.rate,
            subprotocols=(*dialect.subprotocols, *self.subprotocols),
            session_limit_s=self.session_limit_s,
        )
