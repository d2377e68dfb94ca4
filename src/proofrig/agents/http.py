"""An agent that is an HTTP service, already running: a JSON template in, an answer out by a path.

Rules:
1. Placeholders in the URL, the headers and the body: {task} {messages} {trial} {seed}, and where
   the trial's models and tools are: {base_url} {anthropic_base_url} {tools_url} {token}.
2. Every request carries the trial's identity headers; what the service calls in turn is attributed
   when it goes to those addresses, carries the token as its key, or passes `baggage` on.
3. A status of 400 and above, a broken connection and an answer that is not where it was expected
   are replies; a service that cannot be reached is an InfraError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from proofrig.agents.agent import ANSWER_CAP, Attempt, Reply, decoded, task_messages, task_text
from proofrig.agents.template import fill, fill_text
from proofrig.errors import InfraError, UsageError

if TYPE_CHECKING:
    import aiohttp

BODY_CAP = 8_000_000  # bytes of a response that are read
EXCERPT = 500  # characters of a body that are shown


class HttpAgentSettings(BaseModel):
    """`agent: {type: http, url: ..., body: ..., answer: output.text}`

    answer: keys and list indices joined by dots; empty: the whole body is the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["http"] = "http"
    url: str = Field(pattern=r"^https?://[^/]")
    method: Literal["GET", "POST", "PUT"] = "POST"
    headers: dict[str, str] = {}
    body: Any = {"task": "{task}"}
    answer: str = ""


class HttpAgent:
    """Sends one request per trial."""

    def __init__(self, settings: HttpAgentSettings, concurrency: int) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            # A connection of its own per trial: one that the service has dropped meanwhile would
            # look like an agent that broke off.
            connector=aiohttp.TCPConnector(limit=self._concurrency, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def run(self, attempt: Attempt) -> Reply:
        import aiohttp

        if self._session is None:
            await self.start()
        assert self._session is not None
        settings = self._settings
        values = {
            "task": task_text(attempt.task),
            "messages": task_messages(attempt.task),
            "trial": attempt.trial,
            "tenant": attempt.tenant,
            "seed": attempt.seed,
            "base_url": f"{attempt.root}/v1",
            "anthropic_base_url": attempt.root,
            "tools_url": f"{attempt.root}/tools",
            "token": attempt.token,
        }
        headers = {name: fill_text(value, values) for name, value in settings.headers.items()}
        url = fill_text(settings.url, values)
        body = fill(settings.body, values)
        await attempt.ticket.here()
        try:
            async with self._session.request(
                settings.method,
                url,
                headers={**headers, **attempt.headers},
                json=body if settings.method != "GET" else None,
                timeout=aiohttp.ClientTimeout(total=attempt.timeout_s),
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > BODY_CAP:
                        break
        except TimeoutError:
            error = f"timed out after {attempt.timeout_s:g} s, waiting for {url}"
            return Reply(ending="timeout", error=error)
        except aiohttp.InvalidURL as error:
            raise UsageError(f"expected a URL as `agent.url`, got {url!r}: {error}") from None
        except aiohttp.ClientConnectorError as error:
            raise InfraError(
                f"the agent at {url} cannot be reached: {error}; start it, or correct `agent.url`"
            ) from None
        except aiohttp.ClientError as error:
            return Reply(
                ending="error",
                error=f"the agent at {url} broke off: {type(error).__name__}: {error}",
            )
        text, remark = decoded(bytes(data))
        if response.status >= 400:
            return Reply(
                ending="error",
                error=f"the agent at {url} answered HTTP {response.status}: {text[:EXCERPT]}",
                detail=text[:8000],
                exit_code=response.status,
            )
        return self._answer(text, remark)

    def _answer(self, text: str, remark: str) -> Reply:
        path = self._settings.answer
        if not path:
            return Reply(answer=text[:ANSWER_CAP], truncated=len(text) > ANSWER_CAP, detail=remark)
        try:
            value = pick(json.loads(text), path)
        except (ValueError, LookupError) as error:
            return Reply(
                ending="error",
                error=f"the agent's response has no answer at `{path}`: {error}; "
                f"got {text[:EXCERPT]}",
                detail=remark,
            )
        answer = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return Reply(answer=answer[:ANSWER_CAP], truncated=len(answer) > ANSWER_CAP, detail=remark)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def pick(value: Any, path: str) -> Any:
    """The part of a JSON value at `a.0.b`. Raises LookupError naming the step that failed."""
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and _index(step) in range(-len(value), len(value)):
            value = value[int(step)]
        else:
            has = f"keys {', '.join(value)}" if isinstance(value, dict) else type(value).__name__
            raise LookupError(f"no {step!r} in {has}")
    return value


def _index(step: str) -> int | None:
    return int(step) if step.removeprefix("-").isdecimal() else None
