"""The host: runs a Python agent inside the agent's own interpreter.

Run as a script (`interpreter host.py`); standard library only, Python 3.9+, never imports
proofrig. Speaks JSON lines: a configuration and then jobs on standard input, replies on the
descriptor that PROOFRIG_REPLY_FD names. The agent itself finds an empty standard input, and what
it prints goes to its own standard output.

Configuration: {mode, target, paths, cap}. A job: {i, task, messages?, trial, token, seed, workdir,
tenant?, env?, gate?, at?}, or {cancel: i}. Replies: {ready: true} or {fatal: text}, then {i, p:
true} when a job with a gate is parked behind it, and {i, a: answer, t: truncated} or {i, e: error,
d: traceback}, with s, the monotonic nanoseconds at which the agent was started.

Rules:
1. The directory of this file leaves `sys.path` first: its neighbours have the names of modules of
   the standard library.
2. Imports cost every isolated trial: asyncio, inspect and traceback come only when needed.
3. Nothing the agent raises ends a shared host, `SystemExit` included.
4. End of file on standard input ends a shared host at once.
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]

import json

TYPE_CHECKING = False  # the name type checkers know; importing typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

EXTRAS = ("seed", "workdir", "env", "trial", "tenant", "messages", "tools_url", "prepared")
CO_VARARGS, CO_COROUTINE = 0x04, 0x80


class Fatal(Exception):
    """The agent cannot be used at all; the text is for the user."""


def load(target: str, paths: list[str]) -> Callable[..., Any]:
    """The callable that `module:attribute` names. Raises Fatal."""
    module_name, _, attribute = target.partition(":")
    sys.path[:0] = paths
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise Fatal(no_module(target, error.name)) from None
        raise Fatal(import_failed(target, error)) from None
    except BaseException as error:
        raise Fatal(import_failed(target, error)) from None
    module = sys.modules[module_name]
    value = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            file = getattr(module, "__file__", None) or "no file"
            raise Fatal(
                f"the agent {target!r} has no {part!r}: module {module_name} ({file})"
                + did_you_mean(part, dir(value))
            )
        value = getattr(value, part)
    if not callable(value):
        raise Fatal(f"the agent {target!r} is a {type(value).__name__}, expected a function")
    found: Callable[..., Any] = value
    return found


def no_module(target: str, name: str) -> str:
    here: set[str] = set()
    for path in sys.path[:4]:
        if os.path.isdir(path):
            here.update(entry.partition(".py")[0] for entry in os.listdir(path))
    return (
        f"the agent {target!r} cannot be found: no module {name!r}"
        f"{did_you_mean(name.rpartition('.')[2], here)}; "
        f"looked in {', '.join(sys.path)}; run by {sys.executable}"
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, [n for n in names if not n.startswith("__")], 1)
    return f", did you mean {close[0]!r}?" if close else ""


def import_failed(target: str, error: BaseException) -> str:
    return f"importing the agent {target!r} failed: {one_line(error)}\n{trace(error)}"


def one_line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the agent called sys.exit({'' if error.code is None else error.code})"
    try:
        text = str(error).strip()
    except Exception:
        text = "(it cannot be shown: its __str__ raised)"
    return type(error).__name__ + (": " + text.splitlines()[0] if text else "")


def trace(error: BaseException) -> str:
    """The tail of the traceback, without the host's own frames."""
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))[-8000:]


def parameters(function: Callable[..., Any]) -> tuple[list[tuple[str, bool, bool]], bool]:
    """[(name, positional, required)] of a callable; `*args` and `**kwargs` are left out."""
    code: Any = getattr(function, "__code__", None)
    if type(function) is type(load) and not hasattr(function, "__wrapped__"):
        count, keyword = code.co_argcount, code.co_kwonlyargcount
        optional = count - len(function.__defaults__ or ())
        names = code.co_varnames
        found = [(names[i], True, i < optional) for i in range(count)]
        given: dict[str, Any] = function.__kwdefaults__ or {}
        found += [(name, False, name not in given) for name in names[count : count + keyword]]
        return found, bool(code.co_flags & CO_VARARGS)
    import inspect

    try:
        signature = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], True
    return [
        (p.name, p.kind is not p.KEYWORD_ONLY, p.default is p.empty)
        for p in signature
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ], any(p.kind is p.VAR_POSITIONAL for p in signature)


def binder(target: str, function: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """job -> (args, kwargs), from the function's signature. Raises Fatal."""
    found, var_args = parameters(function)
    task = next((name for name, positional, _ in found if positional and name not in EXTRAS), None)
    first = bool(found) and found[0][0] == task
    if task is None:
        task = next((name for name, _, _ in found if name == "task"), None)
    extras = [name for name, _, _ in found if name in EXTRAS]
    missing = [name for name, _, need in found if need and name not in EXTRAS and name != task]
    if missing:
        raise Fatal(
            f"the agent {target!r} needs the argument {', '.join(missing)}; proofrig gives the "
            f"task and, by name, any of {', '.join(EXTRAS)}"
        )
    if task is None and "messages" not in extras and not var_args:
        raise Fatal(f"the agent {target!r} takes no task; expected for example `def run(task)`")
    positional = first or (task is None and "messages" not in extras)

    def bind(job: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = {name: extra(name, job) for name in extras}
        if positional:
            return (job["task"],), kwargs
        if task is not None:
            kwargs[task] = job["task"]
        return (), kwargs

    return bind


def extra(name: str, job: dict[str, Any]) -> Any:
    if name == "env":
        return dict(os.environ, **job.get("env", {}))
    if name == "messages":
        return job.get("messages") or [{"role": "user", "content": job["task"]}]
    if name == "tools_url":
        url = job.get("env", {}).get("PROOFRIG_TOOLS_URL")
        return url or os.environ.get("PROOFRIG_TOOLS_URL", "")
    return job.get(name, "")


def answered(job: dict[str, Any], value: Any, cap: int) -> dict[str, Any]:
    """The reply for what the agent returned."""
    if value is None:
        value = ""
    elif not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            return {
                "i": job["i"],
                "e": f"the agent returned a {type(value).__name__}, expected text or what JSON "
                f"can hold ({error})",
            }
    reply = {"i": job["i"], "a": sendable(value[:cap])}
    if len(value) > cap:
        reply["t"] = True
    return reply


def failed(job: dict[str, Any], error: BaseException) -> dict[str, Any]:
    return {"i": job["i"], "e": sendable(one_line(error)), "d": sendable(trace(error))}


def sendable(text: str) -> str:
    """Text without lone surrogates, which strict readers of JSON refuse."""
    return text.encode("utf-8", "replace").decode()


def encode(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def run_one(
    function: Any, bind: Any, job: dict[str, Any], cap: int, park: Callable[[], int]
) -> dict[str, Any]:
    """Isolated mode: one job, then the end of this process."""
    started = 0
    try:
        os.chdir(job["workdir"])
        args, kwargs = bind(job)
        started = park()
        value = function(*args, **kwargs)
        if hasattr(value, "__await__"):
            import asyncio

            async def wait() -> Any:
                return await value

            value = asyncio.run(wait())
        return dict(answered(job, value, cap), s=started)
    except BaseException as error:
        return dict(failed(job, error), s=started)


def is_async(function: Any) -> bool:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not hasattr(function, "__code__"):  # an object with a method
        function = vars(type(function)).get("__call__")
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def load_neighbour(name: str) -> ModuleType:
    """A module next to this file, under a name that no agent uses."""
    from importlib.util import module_from_spec, spec_from_file_location

    file = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = spec_from_file_location("_proofrig_" + name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Observers:
    """Serves `proofrig.observers` to an agent whose interpreter has no proofrig: where nothing is
    observed they pass everything on."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "proofrig" and "_proofrig_observing" not in sys.modules:
            load_neighbour("observing").install()  # whose own finder comes after this one


def read_line(fd: int, buffer: bytearray) -> dict[str, Any]:
    while b"\n" not in buffer:
        data = os.read(fd, 1 << 16)
        if not data:
            break
        buffer += data
    line, _, rest = bytes(buffer).partition(b"\n")
    buffer[:] = rest
    message: dict[str, Any] = json.loads(line)
    return message


def watch_and_arm() -> None:
    """Let observers watch what the environment says, and set the point at which to be killed."""
    sys.meta_path.append(Observers)
    if os.environ.get("PROOFRIG_HISTORY"):
        load_neighbour("observing").install()
        if os.environ.get("PROOFRIG_FILES"):
            __import__("proofrig.observers.files")
            sys.modules["proofrig.observers.files"].install(os.environ["PROOFRIG_FILES"])
    if kill := os.environ.pop("PROOFRIG_KILL", ""):
        load_neighbour("kill_points").install(kill)


def main() -> None:
    reply_fd = int(os.environ.pop("PROOFRIG_REPLY_FD"))
    os.set_inheritable(reply_fd, False)
    stdin = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    buffer = bytearray()
    config = read_line(stdin, buffer)
    own = os.getpid()
    if config["mode"] == "shared":
        load_neighbour("identity").install()
    watch_and_arm()
    try:
        function = load(config["target"], config["paths"])
        bind = binder(config["target"], function)
    except Fatal as fatal:
        write(reply_fd, encode({"fatal": sendable(str(fatal))}))
        os._exit(0)
    write(reply_fd, encode({"ready": True}))
    if config["mode"] == "shared":
        load_neighbour("parking")
        shared_host = load_neighbour("shared_host")
        agent = shared_host.Agent(function, bind, is_async(function), config["cap"])
        agent.prepare = getattr(function, "prepare", None)
        if agent.prepare is not None:
            agent.prepare_bind = binder(config["target"] + ".prepare", agent.prepare)
        shared_host.Serving(agent, sys.modules[__name__], reply_fd).run(stdin, bytes(buffer))
    elif config["mode"] == "isolated":
        job = read_line(stdin, buffer)
        os.close(stdin)

        def park() -> int:
            if not job.get("gate"):
                return 0
            parking = load_neighbour("parking")
            write(reply_fd, encode({"i": job["i"], "p": True}))
            started: int = parking.wait(job["gate"], job.get("at", 0))
            return started

        reply = run_one(function, bind, job, config["cap"], park)
        if os.getpid() == own:  # a fork that came back here has no say
            write(reply_fd, encode(reply))
            import atexit

            atexit._run_exitfuncs()
    if "_proofrig_observing" in sys.modules:
        sys.modules["_proofrig_observing"].close()
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  (contextlib would be one more import per trial)
            stream.flush()
        except Exception:
            pass
    os._exit(0)


if __name__ == "__main__":
    main()
