"""A headless Chromium with a new profile, and what tests wait for in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "needs a browser: chromium and chromedriver (Debian: chromium chromium-driver)"
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
PATIENCE_S = 90  # for a machine that does much else; an idle one needs seconds
Found = TypeVar("Found")


@contextmanager
def open_browser(width: int, height: int) -> Iterator[Any]:
    """Yield a driver that logs the console and the requests; skip the test without a browser."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if not (BROWSER and DRIVER):
        pytest.skip(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in (*OPTIONS, f"--window-size={width},{height}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait_until(browser: Any, what: str, find: Callable[[Any], Found]) -> Found:
    """Return the first true value of ``find(browser)``; ``what`` names it in the error."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(find, f"the page does not show {what}")


def see(browser: Any, *words: str) -> None:
    """Wait until the page has all these words."""
    for word in words:
        wait_until(
            browser,
            word,
            lambda page, word=word: word in page.find_element("tag name", "body").text,
        )
