"""Simulated providers in processes of their own, started once per set of settings."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from proofrig.providers import SimulatedProvider, SimulatedSettings

Start = Callable[..., str]

MODELS = '''
import asyncio


def desk(messages, tools, seed):
    """Calls every tool offered once, then says how many results came back."""
    results = [r for m in messages for r in m.tool_results]
    if tools and not results:
        calls = [{"name": t.name, "arguments": {"n": n, "seed": seed}} for n, t in enumerate(tools)]
        return {"text": "Let me see.", "tool_calls": calls}
    users = [m.text for m in messages if m.role == "user"]
    return f"{len(results)} results, {len(users)} questions: {' / '.join(users)}"


async def moody(prompt):
    """Fails, hangs, or talks, as the user says; prints a lot."""
    print("x" * 100_000)
    if "fail" in prompt.user:
        raise ValueError("the model is in a mood")
    if "wrong" in prompt.user:
        return 5
    if "wait" in prompt.user:
        await asyncio.sleep(600)
    if "block" in prompt.user:
        __import__("time").sleep(600)
    return prompt.user
'''


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a provider: settings in, its URL without `/v1` out. The same settings give the same
    process; `apart` gives another one."""
    suite_dir: Path = tmp_path_factory.mktemp("suite")
    (suite_dir / "models.py").write_text(MODELS)
    providers: list[SimulatedProvider] = []
    loop = asyncio.new_event_loop()  # a loop of its own: tests start providers from theirs
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(60)

    @functools.cache
    def begun(told: str, apart: int) -> str:
        settings = json.loads(told)
        script, seed = settings.pop("script"), settings.pop("seed")
        if script:
            (suite_dir / "model.yaml").write_text(script)
            settings["script"] = "model.yaml"
        read = SimulatedSettings.model_validate({"provider": "simulated", **settings})
        providers.append(SimulatedProvider(read, suite_dir, seed))
        run(providers[-1].start())
        return providers[-1].base_url

    def begin(script: str = "", seed: int = 1, apart: int = 0, **settings: Any) -> str:
        return begun(json.dumps({"script": script, "seed": seed, **settings}), apart)

    yield begin
    for provider in providers:
        run(provider.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
