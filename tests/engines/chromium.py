"""Chromium without a window, in which the tests look at pages."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.requirements import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement


class Chromium:
    """One browser, for one page after the other."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page in a window of that size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.emulate(dark=dark)
        self._driver.get(page.as_uri())

    def emulate(self, *, dark: bool = False, media: str = "") -> None:
        """Show the page as to those who like it dark, or on another medium."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        settings = {"media": media, "features": [scheme]}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", settings)

    def console(self) -> Sequence[object]:
        """What was written to its console since this was last asked."""
        log = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(one["message"]) for one in log]

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - what the script gives
        """What a script gives that runs in the page."""
        return self._driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """The elements of a CSS selector."""
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first of them."""
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, shown or not."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)",
            selector,
        )
        return found

    def click(self, element: WebElement) -> None:
        """Click on an element, scrolled to the middle, where nothing lies on it."""
        self.run("arguments[0].scrollIntoView({ block: 'center' })", element)
        element.click()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is."""
        for key in keys:
            self._driver.switch_to.active_element.send_keys(getattr(Keys, key))

    def focused(self) -> str:
        """What the element with the focus is called."""
        element = self._driver.switch_to.active_element
        return element.get_attribute("aria-label") or element.text

    def picture(self, path: Path) -> None:
        """Write what is seen to a PNG."""
        assert self._driver.save_screenshot(str(path))


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser; the test is skipped where it is not installed."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    require(program and driver, "chromium is not installed: tests/engines/install")
    options = Options()
    options.binary_location = str(program)
    # Root may not have the sandbox, and /dev/shm of a container is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Chromium(started)
    finally:
        started.quit()
