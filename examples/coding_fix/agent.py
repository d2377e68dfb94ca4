"""The agent under test: mends Python packages with the anthropic SDK, streaming.

It knows nothing of test rigs: the SDK reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, and the
agent is told the folder it works in. It carries out the model's tools itself.
"""

import asyncio
import os
import sys
from pathlib import Path

from anthropic import AsyncAnthropic

MODEL = os.environ.get("CODING_MODEL", "sim-large")
MOST_TURNS = 15
TEST_SECONDS = 20
RULES = """You mend Python packages. Find the cause and remove it, so that the code does what its
docstrings promise. Never change anything below tests/. Say what you did when the tests pass."""


def tool(name: str, description: str, *parameters: str) -> dict:
    properties = {one: {"type": "string"} for one in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"name": name, "description": description, "input_schema": schema}


TOOLS = [
    tool("list_files", "The paths of all files."),
    tool("read_file", "The text of a file.", "path"),
    tool("write_file", "Replace a file, or make a new one.", "path", "content"),
    tool("run_tests", "Run the tests of the package."),
]

model = AsyncAnthropic()


async def fix(task: str, workdir: str) -> str:
    """Work on the package in `workdir` until the model says that it is done."""
    messages: list = [{"role": "user", "content": task}]
    for _ in range(MOST_TURNS):
        async with model.messages.stream(
            model=MODEL, system=RULES, messages=messages, tools=TOOLS, max_tokens=2000
        ) as stream:
            reply = await stream.get_final_message()
        calls = [part for part in reply.content if part.type == "tool_use"]
        if not calls:
            return "".join(part.text for part in reply.content if part.type == "text")
        results = [await carry_out(workdir, call) for call in calls]
        messages += [
            {"role": "assistant", "content": reply.content},
            {"role": "user", "content": results},
        ]
    return "I did not get it done."


async def carry_out(folder: str, call) -> dict:
    """One tool call, and its result for the model."""
    result = {"type": "tool_result", "tool_use_id": call.id}
    try:
        if call.name == "run_tests":
            return result | {"content": await run_tests(folder)}
        return result | {"content": work(folder, call.name, **call.input)}
    except (OSError, TypeError, ValueError) as error:
        return result | {"content": f"{type(error).__name__}: {error}", "is_error": True}


def work(workdir: str, name: str, path: str = "", content: str = "") -> str:
    """List, read or write files."""
    folder = Path(workdir).resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder):
        raise ValueError(f"{path} is outside the package")
    if name == "list_files":
        files = (file for file in folder.rglob("*") if file.is_file())
        return "\n".join(sorted(str(file.relative_to(folder)) for file in files))
    if name == "read_file":
        return file.read_text()
    if name == "write_file":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return f"{path} has {len(content)} characters now"
    raise ValueError(f"there is no tool {name}")


async def run_tests(folder: str) -> str:
    """The last words of the tests."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), TEST_SECONDS)
    except TimeoutError:
        process.kill()
        return f"no end within {TEST_SECONDS} s"
    return said.decode("utf-8", "replace")[-4000:]
