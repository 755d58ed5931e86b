"""Starts Debian's Chromium for tests, and notes whatever a page does that it must not.

Rules:
- A browser of its own for each test, without a profile; it goes to the service under test and nowhere else.
- A page that writes an error to the console, throws, opens a dialogue or asks another origin for something fails its
  test, unless the test expects that.
"""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from playwright.async_api import async_playwright, expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, ConsoleMessage, Dialog, Page, Request

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DEADLINE_MILLISECONDS = 15_000


# No slots: Playwright keeps its wrappers of methods in the instance.
@dataclass(kw_only=True)
class Visitor:
    """One person with a browser."""

    page: Page
    context: BrowserContext
    origin: str
    complaints: list[str] = field(default_factory=list)
    """What the pages have done that they must not."""

    async def go(self, path: str) -> int:
        """Open a path of the service; return the status."""
        response = await self.page.goto(f"{self.origin}{path}")
        assert response is not None
        return response.status

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if f"{address.scheme}://{address.netloc}" != self.origin:
            self.complaints.append(f"asked {request.url}")

    async def _greeted(self, dialogue: Dialog) -> None:
        self.complaints.append(f"dialogue: {dialogue.message}")
        await dialogue.dismiss()

    def watch(self) -> None:
        """Note from now on what the pages do."""
        self.context.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"threw {error}"))
        self.page.on("dialog", self._greeted)


@asynccontextmanager
async def visitor(
    origin: str,
    *,
    scripts: bool = True,
    width: int = 1280,
    mode: Literal["light", "dark"] = "light",
) -> AsyncIterator[Visitor]:
    """Somebody who visits a service; what the pages did wrong is an error at the end."""
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium: script/packages chromium"
    expect.set_options(timeout=DEADLINE_MILLISECONDS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            context = await browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=mode, java_script_enabled=scripts
            )
            context.set_default_timeout(DEADLINE_MILLISECONDS)
            visiting = Visitor(page=await context.new_page(), context=context, origin=origin)
            visiting.watch()
            yield visiting
            assert visiting.complaints == []
        finally:
            await browser.close()
