"""The models a simulated provider can be: an echo, a Python function, a script.

Rules:
1. A function takes `(messages, tools, seed)` or one `Prompt`, and may be async; it is called in
   the provider's process, a plain one in its event loop, so it must not wait for anything.
2. What is wrong with a model's source is found when it is loaded.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proofrig.errors import UsageError
from proofrig.providers.prompt import Model, Prompt, Reply, reply_of


class Echo:
    """Says what the user said; with a tool's result, the result. Never calls a tool."""

    async def answer(self, prompt: Prompt) -> Reply:
        """The last thing it was told."""
        results = prompt.messages[-1].tool_results if prompt.messages else ()
        return Reply(results[-1].content if results else prompt.user)


class FunctionModel:
    """A Python function as a model."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._takes_prompt = _takes_prompt(function, name)

    async def answer(self, prompt: Prompt) -> Reply:
        """What the function returns, as a reply."""
        if self._takes_prompt:
            value = self._function(prompt)
        else:
            value = self._function(list(prompt.messages), list(prompt.tools), prompt.seed)
        return reply_of(await value if inspect.isawaitable(value) else value)


def load_model(script: str | None, function: str | None, suite_dir: Path) -> Model:
    """The model of a suite. Raises `UsageError` saying what is wrong with its source."""
    if script is not None:
        from proofrig.providers.script_file import load_script  # jinja2 and YAML only if needed

        return load_script(suite_dir / script)
    if function is not None:
        return FunctionModel(_find(function, suite_dir), function)
    return Echo()


def _find(reference: str, suite_dir: Path) -> Callable[..., Any]:
    module_name, _, attribute = reference.partition(":")
    sys.path.insert(0, str(suite_dir))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module_name
        story = "" if missing else "\n" + traceback.format_exc()
        raise UsageError(
            f"expected a module {module_name!r} for the model {reference!r}, looked in "
            f"{suite_dir} and the Python path, got {type(error).__name__}: {error}{story}"
        ) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"expected {part!r} in {module_name} for the model {reference!r}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"expected {reference!r} to be callable, got {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _takes_prompt(function: Callable[..., Any], name: str) -> bool:
    """True for one parameter, False for three. Raises `UsageError` for anything else."""
    signature = inspect.signature(function)
    for count in (1, 3):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 1
    raise UsageError(
        f"expected the model {name!r} to take (messages, tools, seed) or (prompt), got {signature}"
    )
