"""The conversation: its items in their order, and the bounds of what is kept of them."""

from collections.abc import Iterator

from sipagent.realtime.local.item import Item
from sipagent.realtime.local.wire import RequestError

ROOT = "root"
MAX_ITEMS = 2000
"""An hour of fast talk is a few hundred items; beyond this the oldest is forgotten, as ``truncation: auto`` does."""
MAX_AUDIO_BYTES = 8 * 1024 * 1024
"""Audio kept for ``conversation.item.retrieve``, a quarter of an hour of G.711; the oldest is let go first."""


class Conversation:
    """The default conversation of a session."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._items: dict[str, Item] = {}
        self._sounding: list[Item] = []
        """Those with audio, in the order in which they came."""

    def __iter__(self) -> Iterator[Item]:
        return (self._items[item_id] for item_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def newest(self, count: int) -> list[Item]:
        """The last so many items, in their order."""
        return [self._items[item_id] for item_id in self._order[-count:]]

    def get(self, item_id: object) -> Item | None:
        """The item of this id."""
        return self._items.get(item_id) if isinstance(item_id, str) else None

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._order[-1] if self._order else None

    def previous_id(self, item_id: str) -> str | None:
        """The id of the item before this one; ``None`` at the head, or when it has been deleted."""
        position = self._order.index(item_id) if item_id in self._items else 0
        return self._order[position - 1] if position > 0 else None

    def has_call(self, function_call_id: str) -> bool:
        """Whether a function call of this id is among the items."""
        return any(i.type == "function_call" and i.fields.get("call_id") == function_call_id for i in self)

    def insert(self, item: Item, previous_item_id: object = None) -> str | None:
        """Put ``item`` after ``previous_item_id``: ``None`` is the end, ``root`` the head.

        :returns: the id of the item that now precedes it.
        :raises RequestError: the id is taken, or there is nothing of the previous id.
        """
        if item.id in self._items:
            message = f"Error adding item: an item with id '{item.id}' already exists."
            raise RequestError(message, code="item_create_duplicate_item_id", param="item.id")
        position = self._position_after(previous_item_id)
        self._order.insert(position, item.id)
        self._items[item.id] = item
        self._sounding.append(item)
        if len(self._order) > MAX_ITEMS:
            del self._items[self._order.pop(0)]
            position -= 1
        self._bound_audio()
        return self._order[position - 1] if position > 0 else None

    def delete(self, item_id: object) -> None:
        """Forget an item.

        :raises RequestError: there is none of that id.
        """
        item = self.require(item_id, "delet", "item_delete_invalid_item_id")
        self._order.remove(item.id)
        del self._items[item.id]

    def truncate(self, item_id: object, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant's audio to what was heard of it.

        :raises RequestError: no such item, no audio of the model, or audio that is already shorter.
        """
        item = self.require(item_id, "truncat", "item_truncate_invalid_item_id")
        part = item.content[content_index] if 0 <= content_index < len(item.content) else None
        if item.role != "assistant" or part is None or part.format is None:
            message = "Only model output audio messages can be truncated."
            raise RequestError(message, code="invalid_value", param="item_id")
        if audio_end_ms > part.audio_ms:
            message = f"Audio content of {part.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise RequestError(message, code="invalid_value", param="audio_end_ms")
        part.truncate(audio_end_ms)

    def require(self, item_id: object, verb: str, code: str) -> Item:
        """The item of this id.

        :raises RequestError: there is none; it says which verb (``delet``, without its ``ing``) failed.
        """
        item = self.get(item_id)
        if item is None:
            name = item_id[:128] if isinstance(item_id, str) else item_id
            message = f"Error {verb}ing item: the item with id '{name}' does not exist."
            raise RequestError(message, code=code, param="item_id")
        return item

    def _position_after(self, previous_item_id: object) -> int:
        if previous_item_id is None:
            return len(self._order)
        if previous_item_id == ROOT:
            return 0
        previous = self.require(previous_item_id, "add", "item_create_invalid_previous_item_id")
        return self._order.index(previous.id) + 1

    def _bound_audio(self) -> None:
        """Let the oldest audio go, never its length."""
        self._sounding = [item for item in self._sounding if item.id in self._items and _may_sound(item)]
        kept = sum(len(part.audio) for item in self._sounding for part in item.content)
        for part in (part for item in self._sounding for part in item.content):
            if kept <= MAX_AUDIO_BYTES:
                break
            kept -= len(part.audio)
            part.audio = bytearray()


def _may_sound(item: Item) -> bool:
    """Whether it has audio, or may yet get some."""
    return item.status == "in_progress" or any(part.audio for part in item.content)
