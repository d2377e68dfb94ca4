"""Where an agent renews its key: `POST /auth/token`, bare and below `/t/{token}`.

    200 {"access_token", "token_type": "Bearer", "expires_in": seconds, "refresh_token"}
    400 {"error": "unsupported_grant_type" | "invalid_grant" | "invalid_request", ...}
    401 {"error": "invalid_client", ...}

Rules:
1. It speaks as an OAuth 2.0 token endpoint does (RFC 6749, section 6): the body is a form or JSON
   with `grant_type=refresh_token`; an empty body means the same.
2. Whose key it is, the path says, or the `refresh_token` in the body, else what names the trial of
   any request. Each key that a trial ever had may be the refresh token.
3. A fresh key ends all keys before it. Whether anybody minds is up to the fault `token_expiry`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from proofrig.faults.token_expiry import TokenExpiry
from proofrig.gateways.gateway import Binding, Channel, Context
from proofrig.gateways.identity import identify

LIFE_S = 3600  # that a key is said to live where no fault ends it sooner
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class AuthGateway:
    """Renews the keys of a rig's trials; each renewal is a note `token_refreshed`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        """`POST /auth/token`, bare and below `/t/{token}`."""
        return [web.post(f"{prefix}/auth/token", self._renew) for prefix in ("", "/t/{token}")]

    async def close(self) -> None:
        """It holds nothing."""

    async def _renew(self, request: web.Request) -> web.Response:
        asked = _asked(await request.read(), request.content_type)
        if asked is None:
            return _refused("invalid_request", "expected a form or a JSON object")
        grant = asked.get("grant_type") or "refresh_token"
        if grant != "refresh_token":
            said = f"expected grant_type=refresh_token, got {str(grant)[:60]!r}"
            return _refused("unsupported_grant_type", said)
        binding, channel = self._whose(request, asked.get("refresh_token"))
        if binding is None:
            if asked.get("refresh_token"):
                return _refused("invalid_grant", "the refresh token belongs to no running trial")
            said = (
                "expected a request of a running trial, got one that names none. Use the URL in "
                "PROOFRIG_REFRESH_URL, or send the key as `refresh_token`"
            )
            return _refused("invalid_client", said, status=401)
        key = self._context.bindings.renew(binding.token)
        self._context.journal.write(
            "note",
            "token_refreshed",
            trial=binding.trial,
            tenant=binding.tenant,
            scope=binding.scope,
            attrs={"channel": channel},
        )
        answer = {"access_token": key, "token_type": "Bearer", "expires_in": self._life_s()}
        return _json(200, answer | {"refresh_token": key})

    def _whose(self, request: web.Request, given: Any) -> tuple[Binding | None, Channel]:
        bindings = self._context.bindings
        token = request.match_info.get("token", "")
        if not bindings.live(token) and isinstance(given, str) and given:
            return bindings.live(given), "key"
        identity = identify(bindings, request.headers, token)
        return (identity.binding if identity.state == "live" else None), identity.channel

    def _life_s(self) -> int:
        """Seconds that the next key is said to live; at least one."""
        faults = self._context.faults.faults if self._context.faults is not None else ()
        lives = [one.after_s for one in faults if isinstance(one, TokenExpiry)]
        return max(1, int(min((s for s in lives if s is not None), default=LIFE_S)))


def _asked(body: bytes, content_type: str) -> dict[str, Any] | None:
    """What a body asks for; None when it is neither a form nor a JSON object."""
    if not body.strip():
        return {}
    if content_type == "application/x-www-form-urlencoded":
        form = parse_qs(body.decode("utf-8", "replace"))
        return {name: values[-1] for name, values in form.items()}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refused(error: str, said: str, *, status: int = 400) -> web.Response:
    return _json(status, {"error": error, "error_description": f"proofrig: {said}"})


def _json(status: int, value: dict[str, Any]) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(
        status=status, body=body, content_type="application/json", headers=_NO_STORE
    )
