"""Replaces (:rfc:`3891#section-6.1`): the dialog that a new call is to take the place of."""

import re
from dataclasses import dataclass

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import Headers, parse_generic_params

REPLACES_MAX = 1_024
"""Characters of a Replaces: a Call-ID and two tags, which are rarely longer than a hundred each."""

# Every visible character but the semicolon, at which a Call-ID ends here.
_REPLACES = re.compile(rf"([!-:<-~]++)({grammar.GENERIC_PARAMS})")


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog as the one who is asked to replace it knows it."""

    call_id: str
    to_tag: str
    """Theirs, from where the header comes: ours, when the header came to us."""
    from_tag: str
    """Of the other side."""
    early_only: bool = False
    """Only as long as nobody has answered."""

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        """Read the field, already unescaped.

        :raises RemoteProtocolError: when it breaks the grammar, or lacks a tag.
        """
        match = _REPLACES.fullmatch(text.strip(" \t")) if len(text) <= REPLACES_MAX else None
        if match is None:
            raise RemoteProtocolError("malformed Replaces")
        parameters = parse_generic_params(match[2])
        names = [name.lower() for name, _ in parameters.pairs]
        to_tag, from_tag = parameters.get("to-tag"), parameters.get("from-tag")
        if not to_tag or not from_tag or names.count("to-tag") + names.count("from-tag") != 2:
            raise RemoteProtocolError("Replaces names no dialog")
        return cls(match[1], to_tag, from_tag, "early-only" in parameters)

    @classmethod
    def of_request(cls, headers: Headers) -> "Replaces | None":
        """Return what an INVITE is to replace, if anything.

        :raises RemoteProtocolError: when it says so badly, or twice (:rfc:`3891#section-3`).
        """
        fields = headers.get_fields("Replaces")
        if len(fields) > 1:
            raise RemoteProtocolError("more than one Replaces")
        return cls.parse(fields[0]) if fields else None

    @property
    def dialog_id(self) -> tuple[str, str, str]:
        """What we know the dialog by, when the header came to us; a tag of 0 is none (:rfc:`3891#section-3`)."""
        return (self.call_id, self.to_tag, "" if self.from_tag == "0" else self.from_tag)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def name_dialog(dialog_id: tuple[str, str, str]) -> Replaces:
    """Name a dialog of ours to somebody who is to replace it at its other side (:rfc:`5589#section-7.1`).

    :param dialog_id: Call-ID, our tag, their tag.
    """
    call_id, local_tag, remote_tag = dialog_id
    return Replaces(call_id, remote_tag or "0", local_tag or "0")
