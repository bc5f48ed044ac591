"""The example with agents of the Agents SDK: through the real program, called by somebody who speaks."""

from pathlib import Path

import pytest
from spoken import texts
from test_agent_examples import call, of_last_call, on_free_ports, running

pytest.importorskip("agents", reason="the extra agents")
pytest.importorskip("espeakng_loader", reason="the caller speaks by espeak-ng")
pytest.importorskip("pocketsphinx", reason="the embedded model hears by pocketsphinx")

KINDS = ("agent_changed", "agent_said", "tool_called", "tool_returned", "truncated", "model_complained", "agent_kept")


def test_the_sdk_runs_tools_hand_offs_and_guardrails(tmp_path: Path) -> None:
    file, port = on_free_ports("agents_sdk.yaml", tmp_path)
    says = ("order status", "tell me a story", "transfer to billing", "what are your opening hours")
    with running(str(file)) as program:
        call(f"sip:agent@127.0.0.1:{port}", *(part for each in says for part in ("--say", each)))
        events = of_last_call(program, *KINDS)
        kinds = {entry["event"] for entry in program.entries}
    assert not kinds & {"agent_wrote", "call_crashed", "tool_failed", "model_complained", "agent_kept"}
    assert texts(events, "tool_called", "name") == ["order_status", "transfer_to_billing"]
    status = texts(events, "tool_returned", "output")[0]
    assert status.endswith("leaves the workshop on Friday."), "the SDK ran the tool, with the call as its context"
    said = [entry for entry in events if entry["event"] == "agent_said"]
    assert status in [entry["text"] for entry in said]
    (story,) = [entry for entry in said if entry["text"].startswith("Once")]
    assert story["is_cut"], "the guardrail stopped it"
    assert story["heard_ms"] < 5000
    changed = [entry["event"] for entry in events].index("agent_changed")
    assert (events[changed]["before"], events[changed]["agent"]) == ("front", "Billing")
    assert events[changed + 1]["event"] == "tool_returned", "the model is told once it is the other agent"
    assert said[-1]["text"] == "Billing is open from 10 to 16.", "it has the other's instructions"
