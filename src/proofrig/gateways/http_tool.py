"""An HTTP endpoint as a tool: arguments go out, the answer comes back.

Rules:
1. `{name}` in the path is filled from the arguments, which are then used up. The others are the
   query of a GET or DELETE, else the JSON body.
2. A status of 400 or above is a failure that carries the endpoint's own words.
3. What a failure says names no key: neither a query nor a user of the URL.
4. A failure is certain only when no connection was made; later, nobody can know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import msgspec

from proofrig.errors import UsageError
from proofrig.gateways.tool import ToolContext, ToolFailure, check_size, json_result
from proofrig.gateways.tool_settings import HttpToolSettings

if TYPE_CHECKING:
    from jsonschema import ValidationError

_IN_PATH = re.compile(r"\{(\w+)\}")
_CHUNK = 1 << 16


class HttpTool:
    """One endpoint. Raises UsageError when its schema is none."""

    def __init__(self, settings: HttpToolSettings, client: aiohttp.ClientSession) -> None:
        self.name = settings.name
        self.description = settings.description
        self.schema: dict[str, Any] = settings.parameters
        self._settings = settings
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        from jsonschema import SchemaError  # as few rigs need it as have such tools
        from jsonschema.validators import validator_for

        validator = validator_for(self.schema)
        try:
            validator.check_schema(self.schema)
        except SchemaError as error:
            raise UsageError(
                f"tool {self.name}: expected a JSON Schema, got one that is not valid at "
                f"{error.json_path}: {error.message}"
            ) from error
        self._validator = validator(self.schema)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The endpoint's answer as JSON text. Raises ToolFailure."""
        wrong = [f"{error.json_path}: {error.message}" for error in self._errors(arguments)]
        if wrong:
            raise ToolFailure("bad_arguments", f"tool {self.name}: {'; '.join(wrong)}")
        url, rest = self._fill(arguments)
        shown = _without_keys(url)
        reads = self._settings.method in ("GET", "DELETE")
        # identity: the client that gateways share leaves bodies as they come
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        headers |= self._settings.headers
        if not reads:
            headers = {"content-type": "application/json"} | headers
        try:
            async with self._client.request(
                self._settings.method,
                url,
                params=[(name, _query(value)) for name, value in rest.items()] if reads else None,
                data=None if reads else msgspec.json.encode(rest),
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await self._read(response)
        except TimeoutError as error:
            raise ToolFailure(
                "tool_timeout",
                f"tool {self.name}: expected an answer from {shown} within "
                f"{self._settings.timeout_s:g} s, got none; it may have had its effect",
                outcome="unknown",
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise ToolFailure(
                "tool_unreachable", f"tool {self.name}: no connection to {shown}: {error.strerror}"
            ) from error
        except aiohttp.ClientError as error:
            raise ToolFailure(
                "tool_unreachable",
                f"tool {self.name}: {shown} broke off: {error!s}; it may have had its effect",
                outcome="unknown",
            ) from error
        if response.status >= 300:
            said = body[:2000].decode("utf-8", "replace")
            raise ToolFailure(
                "tool_error", f"tool {self.name} answered HTTP {response.status}: {said}"
            )
        return self._as_json(body, response.content_type)

    def _errors(self, arguments: Mapping[str, Any]) -> list[ValidationError]:
        return sorted(self._validator.iter_errors(dict(arguments)), key=lambda e: e.json_path)

    def _fill(self, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        rest = dict(arguments)
        used = set(_IN_PATH.findall(self._settings.url))
        missing = sorted(used - rest.keys())
        if missing:
            raise ToolFailure(
                "bad_arguments", f"tool {self.name}: {', '.join(missing)}: required in the URL"
            )
        url = _IN_PATH.sub(
            lambda found: quote(_query(arguments[found[1]]), safe=""), self._settings.url
        )
        return url, {name: value for name, value in rest.items() if name not in used}

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            check_size(self.name, len(body), self._settings.result_limit_bytes)
        return bytes(body)

    def _as_json(self, body: bytes, content_type: str) -> bytes:
        limit = self._settings.result_limit_bytes
        if not body:
            return b"null"
        if "json" in content_type:
            try:
                return json_result(self.name, msgspec.json.decode(body), limit)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ToolFailure(
                    "bad_result", f"tool {self.name}: expected JSON, got {body[:80]!r}: {error}"
                ) from error
        return json_result(self.name, body.decode("utf-8", "replace"), limit)


def _without_keys(url: str) -> str:
    """A URL for people: its query and its user may be keys."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _query(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
