"""Agents of the OpenAI Agents SDK on the telephone: a tool, a hand-off and an output guardrail.

``agents_sdk.yaml`` beside this file puts them on a line; ``pip install 'sipagent[agents]'`` first. The same objects run
in the SDK's own programs. What they may know of the call is in the context, a ``sipagent.CallInfo``.
"""

from typing import Any

from agents import Agent, GuardrailFunctionOutput, RunContextWrapper, function_tool, output_guardrail
from agents.realtime import RealtimeAgent

from sipagent import CallInfo


@function_tool
def order_status(context: RunContextWrapper[CallInfo]) -> str:
    """Tell how far the caller's order is."""
    return f"The order of {context.context.caller_number} leaves the workshop on Friday."


@output_guardrail
async def keep_to_business(context: RunContextWrapper[Any], agent: Agent[Any], output: str) -> GuardrailFunctionOutput:
    """Stop the agent when it tells stories; a real one asks a small model."""
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="once upon a time" in output.lower())


billing = RealtimeAgent(
    name="Billing",
    handoff_description="Knows about bills and payments.",
    instructions="You are the billing office of the Harbour Clock Company. Be brief. Billing is open from 10 to 16.",
    output_guardrails=[keep_to_business],
)

triage = RealtimeAgent(
    name="Triage",
    instructions="You are the receptionist of the Harbour Clock Company. Be brief. We are open from 8 to 20.",
    tools=[order_status],
    handoffs=[billing],
    output_guardrails=[keep_to_business],
)
