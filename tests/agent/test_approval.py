import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sipagent.agent.approval import Approval, ApprovalPolicy, explain_refusal
from sipagent.agent.tools import CallInfo, tool
from sipagent.aio.tools import ToolRunner

CALL = CallInfo("a1b2", caller="sip:ada@example.com")
REFUSED = "The tool cancel was not run, for it was not approved. Tell the caller that this can't be done now."

Seen = tuple[str, Mapping[str, Any], CallInfo]


def run(policy: ApprovalPolicy, arguments: str = '{"number": 7}') -> tuple[str, int, list[BaseException]]:
    """Run a tool that needs approval; return its output, how often it was run, and what was reported."""
    runs, reports = 0, []

    @tool(needs_approval=True)
    def cancel(call: CallInfo, number: int) -> str:
        nonlocal runs
        runs += 1
        return f"{number} of {call.call_id}"

    runner = ToolRunner([cancel], report=lambda name, error: reports.append(error), call=CALL, approval=policy)
    return asyncio.run(runner.output_of("cancel", arguments)), runs, reports


def hooks(answer: Any) -> list[Callable[..., Any]]:
    """The same hook, sync and async."""

    def sync(name: str, arguments: Mapping[str, Any], call: CallInfo) -> Any:
        return answer((name, arguments, call)) if callable(answer) else answer

    async def coroutine(name: str, arguments: Mapping[str, Any], call: CallInfo) -> Any:
        return sync(name, arguments, call)

    return [sync, coroutine]


@pytest.mark.parametrize("which", [0, 1], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("said", "output"),
    [
        (True, "7 of a1b2"),
        (False, REFUSED),
        ("not on a Sunday.", REFUSED.replace("approved.", "approved: not on a Sunday.")),
        (None, REFUSED),
        (1, REFUSED),
        ("", REFUSED),
    ],
)
def test_what_a_hook_says(which: int, said: Any, output: str) -> None:
    got, runs, reports = run(ApprovalPolicy(hooks(said)[which]))
    assert got == output
    assert runs == (said is True)
    assert not reports


def test_the_policy_says_what_nobody_says() -> None:
    assert run(ApprovalPolicy(default=True))[0] == "7 of a1b2"
    assert run(ApprovalPolicy(default=False))[0] == REFUSED
    assert run(ApprovalPolicy(hooks(None)[0], default=True))[0] == "7 of a1b2"
    assert run(ApprovalPolicy(hooks(False)[0], default=True))[0] == REFUSED


@pytest.mark.parametrize("which", [0, 1], ids=["sync", "async"])
def test_what_a_hook_is_told(which: int) -> None:
    seen: list[Seen] = []

    def see(one: Seen) -> bool:
        seen.append(one)
        return True

    run(ApprovalPolicy(hooks(see)[which]))
    assert seen == [("cancel", {"number": 7}, CALL)]


def test_nobody_is_asked_about_arguments_that_do_not_fit() -> None:
    seen: list[Seen] = []
    output, runs, _ = run(ApprovalPolicy(hooks(seen.append)[0]), '{"number": "x"}')
    assert output.startswith("The arguments of cancel are wrong")
    assert not seen
    assert not runs


@pytest.mark.parametrize("which", [0, 1], ids=["sync", "async"])
def test_a_hook_that_fails_has_not_said_yes(which: int) -> None:
    def fail(one: Seen) -> bool:
        raise LookupError("no such list")

    output, runs, reports = run(ApprovalPolicy(hooks(fail)[which], default=True))
    assert output == REFUSED.replace("approved.", "approved: nobody could be asked.")
    assert not runs
    assert [type(error) for error in reports] == [LookupError]


def test_a_hook_that_takes_too_long_has_not_said_yes() -> None:
    async def sleep(name: str, arguments: Mapping[str, Any], call: CallInfo) -> bool:
        await asyncio.sleep(60)
        return True

    began = time.monotonic()
    output, runs, _ = run(ApprovalPolicy(sleep, default=True, timeout_s=0.05))
    assert output == REFUSED.replace("approved.", "approved: nobody answered in time.")
    assert not runs
    assert time.monotonic() - began < 30


def test_a_reason_is_cut() -> None:
    assert len(ApprovalPolicy().read("x" * 10_000).reason) == 300
    assert "it was not approved: no. Tell" in explain_refusal("f", Approval(False, "no"))


@pytest.mark.parametrize(
    ("arguments", "approval"),
    [
        ('{"order": 7}', Approval(True)),
        ("", Approval(True)),
        ("[]", Approval(False, "its arguments are no JSON object")),
        ("{", Approval(False, "its arguments are no JSON object")),
    ],
)
def test_a_tool_that_runs_elsewhere_is_judged(arguments: str, approval: Approval) -> None:
    async def main() -> Approval:
        runner = ToolRunner([], report=lambda *_: None, call=CALL, approval=ApprovalPolicy(hooks(True)[1]))
        judged: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()
        runner.judge("shop.cancel", arguments, judged.set_result)
        return await judged

    assert asyncio.run(main()) == approval
