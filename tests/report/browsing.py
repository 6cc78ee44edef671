"""A real browser that opens pages offline, and hears everything that they complain about."""

import contextlib
import os
import shutil
from pathlib import Path

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
NO_CHROMIUM = "no Chromium: `apt-get install chromium`, or set CHROMIUM to its path"
SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


def loaded(url):
    """What a page asked the network for."""
    return [] if url.startswith(("file:", "data:", "blob:", "about:srcdoc")) else [url]


@contextlib.contextmanager
def visiting(browser, pages):
    """Yield a function that opens `pages / NAME.html`; at the end nothing may have gone wrong."""
    wrong, contexts = [], []

    def open_page(name, width=1280, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: wrong.extend(loaded(request.url)))
        tab.goto((pages / f"{name}.html").as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def until(tab, condition, arg=None):
    """Wait for a condition; Playwright's own way evaluates text, which the pages forbid."""
    for _ in range(100):
        if tab.evaluate(condition, arg):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")
