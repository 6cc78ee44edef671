"""Make the pictures of `docs/how-to/read-the-diagnosis.md`: `python tools/diagnosis_shots.py`.

They show the page that the tutorial makes, in the system's Chromium.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorials" / "from-samples-to-a-verdict.md"
ASSETS = ROOT / "docs" / "assets"
COMMAND = "diagnose samples.jsonl --beta 0.01 --threshold 0.8 --html report.html"


def main() -> None:
    """Run the tutorial's script and its command, and take two pictures."""
    (script,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text("utf-8"), re.DOTALL)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        subprocess.run([sys.executable, "-c", script], cwd=home, check=True)
        command = [sys.executable, "-m", "polymode", *COMMAND.split()]
        subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
        take(home / "report.html")


def take(page: Path) -> None:
    """Take the top of the page, and an opened prompt."""
    with (
        sync_playwright() as api,
        contextlib.closing(
            api.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        tab = browser.new_page(viewport={"width": 1080, "height": 1000}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.locator("[data-plot=budget] .main-svg").first.wait_for()
        tab.screenshot(path=ASSETS / "diagnosis-verdict.png")
        tab.locator("button.open").first.click()
        tab.locator("#prompts-title").scroll_into_view_if_needed()
        tab.evaluate("document.querySelector('#prompts').scrollIntoView()")
        tab.wait_for_timeout(500)
        tab.screenshot(path=ASSETS / "diagnosis-prompt.png")


if __name__ == "__main__":
    main()
