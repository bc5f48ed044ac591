"""The audio delta, as msgspec reads it: nearly all of the traffic from the model.

It is apart from the rest of the protocol because mypyc must not compile it: of a class it makes it would forget the tag
and the limits of the fields, by which msgspec tells what is an audio delta.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

AUDIO_DELTA: Final = "response.output_audio.delta"

MAX_INDEX: Final = 1 << 16
"""A content index from here on is read as absent; real ones are 0, 1, 2."""

MAX_IDENTIFIER_CHARACTERS: Final = 256
"""A longer name is read as absent, so that what is remembered by name stays small; the API's own have some 30."""

Identifier: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_IDENTIFIER_CHARACTERS)]
Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=MAX_INDEX)]


class AudioDelta(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag=AUDIO_DELTA):
    """One ``response.output_audio.delta``; ``delta`` is decoded from base64."""

    delta: bytes
    response_id: Identifier = ""
    item_id: Identifier = ""
    content_index: Index = 0
