"""The errors of sipagent: a local one is our program's mistake, a remote one is the peer's."""


class SipagentError(Exception):
    """The base of every error that sipagent raises on purpose."""


class LocalProtocolError(SipagentError):
    """A command that is illegal in this state, or a value that may not go on the wire (CR, LF, NUL)."""


class RemoteProtocolError(SipagentError):
    """What a peer sent breaks a rule.

    :param status: the SIP status the peer deserves (:rfc:`3261#section-21`), 400 unless a rule names another.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ConfigError(SipagentError):
    """Something in the configuration is wrong; the message says where and what was expected."""
