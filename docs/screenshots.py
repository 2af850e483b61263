"""The pictures of the README, from a running engine: ``make screenshots``.

They are SVG, so that a change of them can be read as text: the monitor as Textual exports it, the dashboard as the page
that the browser has drawn, with its style, inside a ``foreignObject``.
"""

import asyncio
import re
from pathlib import Path

from playwright.async_api import async_playwright
from pydantic import SecretStr

from lastro.core.cli.monitor.screen import Monitor
from lastro.core.local import adopt
from lastro.core.settings import Settings
from lastro.core.testing.browser import OPTIONS, chromium
from lastro.core.testing.engine import Engine, running

HERE = Path(__file__).parent
MOVING_SECONDS = 45
WIDTH, HEIGHT = 1100, 640

SERIALIZED = """async () => {
  const style = await (await fetch('/dashboard/style.css')).text();
  for (const unseen of document.querySelectorAll('script, template, noscript, link, .skip')) unseen.remove();
  const page = new XMLSerializer().serializeToString(document.body);
  return [page, style, document.documentElement.scrollHeight];
}"""


async def dashboard(engine: Engine) -> str:
    """The page as it stands, as SVG."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        await page.goto(engine.url)
        await page.wait_for_selector("#state[data-state=live]")
        await asyncio.sleep(MOVING_SECONDS)
        body, style, height = await page.evaluate(SERIALIZED)
        await browser.close()
    style = style.replace(":root", ".page").replace("body {", ".page {")
    page_as_box = body.replace("<body", '<div class="page"', 1).replace("</body>", "</div>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
        f'<style><![CDATA[{style}]]></style><foreignObject width="100%" height="100%">'
        f"{page_as_box}</foreignObject></svg>\n"
    )


async def monitor(engine: Engine) -> str:
    """The terminal's screen, as SVG."""
    server = adopt(engine.folder)
    assert server is not None
    app = Monitor(Settings(redis_url=SecretStr(server.url)))
    async with app.run_test(size=(120, 34)) as pilot:
        await asyncio.sleep(MOVING_SECONDS)
        await pilot.pause()
        picture = app.export_screenshot(title="lastro monitor")
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # no font is fetched from anywhere


async def both(engine: Engine) -> None:
    """Taken at the same time."""
    page, screen = await asyncio.gather(dashboard(engine), monitor(engine))
    (HERE / "dashboard.svg").write_text(page)
    (HERE / "monitor.svg").write_text(screen)


if __name__ == "__main__":
    with running("--simulate") as found:
        asyncio.run(both(found))
