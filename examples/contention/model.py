"""The simulated model: says what its document says, and writes long reports."""

from proofrig import Prompt

REPORT = "Report. " + " ".join(f"In week {week} all went as planned." for week in range(1, 13))


def writer(prompt: Prompt) -> str:
    if prompt.model == "sim-report":
        return REPORT
    document = prompt.system.partition("\n")[2] or prompt.system
    return f"Your documents say: {document}"
