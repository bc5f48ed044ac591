"""A model: where it is, and how we prove who we are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the model is."""

    url: str = field(repr=False)  # the key may be in it, as in the headers
    headers: Mapping[str, str] = field(repr=False)
    connect_timeout_s: float = 5.0
    tls: SSLContext | None = None
