"""Whether a tool may be run: what a function of the user's says, or the policy where there is none.

A tool that needs approval and does not get it, for whatever reason, is not run; the model is told in a sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from sipagent.agent.tools import CallInfo

ApprovalHook: TypeAlias = Callable[[str, Mapping[str, Any], CallInfo], Any]
"""Is given the tool's name, its arguments and the call, and may be a coroutine function; it says ``True`` or ``False``,
a text for no and why, or ``None`` for what the policy says."""

APPROVAL_TIMEOUT_S = 10.0
"""A caller hears nothing meanwhile."""

MAX_REASON = 300
"""Characters of a reason that the model is told."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What was said: whether a tool may run, and if not why, in words for the model."""

    is_given: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Who is asked."""

    hook: ApprovalHook | None = None
    default: bool = False
    """What is said where there is no hook, or where it does not say."""
    timeout_s: float = APPROVAL_TIMEOUT_S

    @property
    def is_async(self) -> bool:
        """Whether the hook is a coroutine function."""
        return iscoroutinefunction(self.hook)

    def read(self, said: Any) -> Approval:
        """Make something of what a hook returned; what is neither yes nor no is no."""
        if said is None:
            return Approval(self.default)
        if isinstance(said, str):
            return Approval(False, said[:MAX_REASON])
        return Approval(said is True)


def explain_refusal(name: str, approval: Approval) -> str:
    """Tell the model, in a sentence, that a tool was not run."""
    why = f": {approval.reason.strip().rstrip('.')}" if approval.reason else ""
    return f"The tool {name} was not run, for it was not approved{why}. Tell the caller that this can't be done now."
