"""A real browser (Chromium, headless, by its own driver) and a real node. For any test that wants to see a page as a person does.

`browser` is one for the session, back at one blank tab for each test; `open_tab(url)` gives further ones; `site` serves pages that
the test wrote at an origin of its own.
"""

import http.server
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver

import real_node
from loopback import Loopback

node, start_node, name = real_node.node, real_node.start_node, real_node.name

PYTHON = f"python3.{sys.version_info.minor}"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--metrics-recording-only", "--window-size=1000,800",
)  # fmt: skip


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs the Debian packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    running.set_script_timeout(30)
    running.set_page_load_timeout(30)
    yield running
    running.quit()


@pytest.fixture
def browser(_driver: WebDriver) -> Iterator[WebDriver]:
    """Cookies, tabs and the console of a test end with it."""
    yield _driver
    first, *others = _driver.window_handles
    for tab in others:
        _driver.switch_to.window(tab)
        _driver.close()
    _driver.switch_to.window(first)
    _driver.delete_all_cookies()
    _driver.get("about:blank")
    _driver.get_log("browser")  # what is read is gone: the next test sees its own page's errors alone


@pytest.fixture
def open_tab(browser: WebDriver) -> Callable[[str], str]:
    """Opens a page in a tab of its own; the tab's handle, for `browser.switch_to.window`."""

    def open_at(url: str) -> str:
        browser.switch_to.new_window("tab")
        browser.get(url)
        return browser.current_window_handle

    return open_at


class Site(Loopback):
    """Serves `pages` ({path: HTML}) at `origin`; `other_origin` is the same server by another name."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = site.pages.get(self.path.partition("?")[0])
                self.send_response(200 if page is not None else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write((page or "").encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(Handler)
        self.origin, self.other_origin = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()
