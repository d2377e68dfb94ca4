"""A web page where data was expected: a captive portal, a login, a gateway's own error page."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Made, read
from proofrig.wire.outbound import Surface

PAGES = {
    "login": (
        "Sign in",
        '<form method="post" action="/login"><p>Your session has ended. Please sign in.</p>'
        '<input name="user"><input name="password" type="password"><button>Sign in</button></form>',
    ),
    "gateway": ("502 Bad Gateway", "<center><h1>502 Bad Gateway</h1></center><hr>"),
    "maintenance": (
        "Scheduled maintenance",
        "<h1>We will be back soon</h1><p>The service is down for scheduled maintenance.</p>",
    ),
}


class HtmlPage(Fault):
    """Answers with an HTML page under status 200. The call is not passed on, or, with `executed`,
    carried out and its answer lost."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "an HTML page with status 200 instead of the answer"

    kind: Literal["html_page"] = "html_page"
    page: Literal["login", "gateway", "maintenance"] = Field(
        default="gateway", description="What the page is."
    )
    executed: bool = Field(default=False, description="The call is carried out all the same.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if self.executed:
            answer = await onward()
            await read(answer)
            answer.close()
        hit.struck(status=200, executed=self.executed)
        title, inside = PAGES[self.page]
        page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{inside}</body>"
        return Made(200, f"{page}</html>\n".encode(), {"content-type": "text/html; charset=utf-8"})
