"""What was said, as far as it was heard."""

from sipagent.call.events import AgentSaid
from sipagent.call.playout import Part

MAX_ITEMS = 64
"""Items whose words came before their audio was played; more than that were never played and are forgotten."""


class Transcript:
    """Keeps the agent's words until it is known how much of them was put on the wire."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, int], str] = {}

    def receive_text(self, item_id: str, content_index: int, text: str, *, is_final: bool) -> None:
        """Take the next words of a content part, or all of them when they are final."""
        key = (item_id, content_index)
        self._texts[key] = text if is_final else self._texts.get(key, "") + text
        while len(self._texts) > MAX_ITEMS:
            del self._texts[next(iter(self._texts))]

    def close(self, part: Part, *, is_cut: bool) -> AgentSaid | None:
        """Say what of a part was heard; ``None`` when it had no words or none was heard.

        Words carry no times, so the place of a cut is the share of the audio that was played, moved back to a space.
        """
        text = self._texts.pop((part.item_id, part.content_index), "")
        if not text or not part.heard_ms:
            return None
        if is_cut:
            heard = text[: round(len(text) * part.sent / part.received)]
            text = heard.rsplit(" ", 1)[0] + " —"
        return AgentSaid(text, part.heard_ms, is_cut, part.item_id)
