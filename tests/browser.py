"""What people see: the app on a port of its own, and a Chromium whose every request and complaint is noted."""

import asyncio
import shutil
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, BrowserContext, Error, Page, Request, Response, async_playwright, expect

from app.config import Settings
from tests import promises
from tests.conftest import World, running

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 10_000  # milliseconds for anything that a page does by itself
expect.set_options(timeout=PATIENCE)
DESKTOP, PHONE = (1280, 900), (360, 740)

NOT_REFUSED = "Failed to load resource"  # the console's echo of an answer >= 400, which `Window.refused` has already
# Not `innerWidth`: a phone makes it larger when the page is too wide.
TOO_WIDE = """(width) => [...document.querySelectorAll("body, body *")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > width + 0.5)
    .map((e) => `<${e.localName} id="${e.id}" class="${e.className}"> to ${e.getBoundingClientRect().right}`)
    .concat(document.documentElement.scrollWidth > width ? ["the page scrolls sideways"] : [])"""


@dataclass
class Window:
    """A browser profile of its own, and what happened in it."""

    site: "Site"
    context: BrowserContext
    page: Page
    requests: list[Request] = field(default_factory=list[Request])
    refused: list[str] = field(default_factory=list[str])
    """Answers of 400 and above, as `POST /v1/sessions 401`."""
    complaints: list[str] = field(default_factory=list[str])
    """Errors and warnings of scripts and policies."""
    answers: list[Response] = field(default_factory=list[Response])

    def watch(self) -> None:
        self.context.on("request", lambda request: self.requests.append(request))  # playwright takes no built-in
        self.context.on("response", self._note_answer)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("console", lambda message: self._note(message.type, message.text))

    def _note_answer(self, response: Response) -> None:
        self.answers.append(response)
        if response.status >= 400:
            self.refused.append(f"{response.request.method} {urlsplit(response.url).path} {response.status}")

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert") and not text.startswith(NOT_REFUSED):
            self.complaints.append(text)

    async def keep_promises(self) -> None:
        """Raises Broken: an answer said what the contract does not. Bodies of pages that were left are gone."""
        for answer in self.answers:
            if answer.url.startswith(f"{self.site.url}/"):
                headers, body = answer.headers, None
                with suppress(Error):
                    body = await answer.body()
                promises.heard(answer.request.method, answer.url, answer.status, headers, body)

    def sent(self) -> list[str]:
        """The addresses of all requests, without those that a policy of the page kept from leaving."""
        return [request.url for request in self.requests if request.failure != "csp"]

    async def open(self, path: str) -> Page:
        """Go to an address of the site (or a link of a mail), in the window's first tab."""
        await self.page.goto(path if path.startswith("http") else self.site.url + path)
        return self.page

    async def open_mail(self, address: str, about: str) -> Page:
        """Wait on the mailbox page for a mail to this address with this in its subject, as people do, and click it."""
        mails = self.page.locator(".mailbox nav a").filter(has_text=f"to {address} ").filter(has_text=about)
        for _ in range(100):
            await self.open("/dev/mail")
            if await mails.count():
                await mails.first.click()
                await self.page.locator("#mail").wait_for()
                return self.page
            await asyncio.sleep(0.1)
        raise AssertionError(f"no mail to {address} about {about}")

    async def link_of_mail(self, address: str, about: str) -> str:
        """The link in the HTML of the newest such mail."""
        frame = (await self.open_mail(address, about)).frame_locator("#mail iframe")
        return await frame.get_by_role("link").first.get_attribute("href") or ""

    async def follow_mail(self, address: str, about: str) -> Page:
        """Click the link in the HTML of the newest such mail; the tab that opens."""
        frame = (await self.open_mail(address, about)).frame_locator("#mail iframe")
        async with self.context.expect_page() as opened:
            await frame.get_by_role("link").first.click()
        return await opened.value

    async def too_wide(self) -> list[str]:
        """What sticks out of the window to the right; the page itself included."""
        assert self.page.viewport_size is not None
        return await self.page.evaluate(TOO_WIDE, self.page.viewport_size["width"])


@dataclass
class Site:
    """A world that answers on a port, and a browser to look at it."""

    world: World
    url: str
    browser: Browser

    @asynccontextmanager
    async def window(
        self, locale: str = "en-GB", size: tuple[int, int] = DESKTOP, *, refused: Sequence[str] = (), **options: Any
    ) -> AsyncGenerator[Window]:
        """A window that must stay on this site, without a complaint, with exactly these answers of 400 and above."""
        viewport = {"width": size[0], "height": size[1]}
        context = await self.browser.new_context(locale=locale, viewport=viewport, **options)  # pyright: ignore[reportArgumentType]
        try:
            context.set_default_timeout(PATIENCE)
            window = Window(self, context, await context.new_page())
            window.watch()
            yield window
            await window.keep_promises()
            away = [url for url in window.sent() if not url.startswith((f"{self.url}/", "data:", "blob:"))]
            found = (away, window.complaints, sorted(window.refused))
            assert found == ([], [], sorted(refused)), found
        finally:
            await context.close()


@asynccontextmanager
async def visited(settings: Settings) -> AsyncGenerator[Site]:
    """The site of these settings: on a free port, with a worker that sends to the development mailbox."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        ours = settings.model_copy(update={"public_url": url, "embedded_worker": True})
        async with running(ours) as world, _served(world.app, door), _chromium() as browser:
            yield Site(world, url, browser)


class _Server(uvicorn.Server):
    """Leaves the signals to pytest, so that Ctrl-C ends the tests."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def _served(app: FastAPI, door: socket.socket) -> AsyncGenerator[None]:
    """Answer at an open socket, with the access log on. The world has started the app already."""
    server = _Server(
        uvicorn.Config(app, lifespan="off", log_config=None, log_level="info", timeout_graceful_shutdown=5)
    )
    serving = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _chromium() -> AsyncGenerator[Browser]:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.fail(f"no browser: install chromium (looked for {', '.join(PROGRAMS)} on the PATH)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()
