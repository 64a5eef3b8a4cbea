"""Two tabs of a browser that chat through a WebSocket API."""

import importlib.util
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_SPEC = importlib.util.spec_from_file_location("deploying", Path(__file__).parents[1] / "websocket_apis" / "deploying.py")
assert _SPEC is not None and _SPEC.loader is not None
deploying = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(deploying)

PAGE = """\
<!doctype html><meta charset="utf-8"><title>connecting</title>
<form><input id="text"><button>Send</button></form><ol id="said"></ol>
<script>
const socket = new WebSocket("%s");
socket.onopen = () => { document.title = "open"; };
socket.onclose = event => { document.title = "closed " + event.code; };
socket.onmessage = event => {
    const item = document.createElement("li");
    item.textContent = JSON.parse(event.data).text;
    document.getElementById("said").append(item);
};
document.querySelector("form").onsubmit = event => {
    event.preventDefault();
    socket.send(JSON.stringify({action: "sendmessage", text: document.getElementById("text").value}));
    document.getElementById("text").value = "";
};
</script>
"""


def until(browser, condition):
    return WebDriverWait(browser, 30, 0.05).until(lambda _: condition())


def test_two_tabs_chat(browser, open_tab, site, node):
    api = deploying.deploy_chat(node)
    site.pages["/"] = PAGE % api.url
    tabs = [open_tab(site.origin), open_tab(site.origin)]
    for tab in tabs:
        browser.switch_to.window(tab)
        until(browser, lambda: browser.title == "open")

    def say(tab, text):
        browser.switch_to.window(tab)
        browser.find_element(By.ID, "text").send_keys(text)
        browser.find_element(By.TAG_NAME, "button").click()

    def said(tab):
        browser.switch_to.window(tab)
        return [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#said li")]

    say(tabs[0], "hello from the first")
    for tab in tabs:
        until(browser, lambda tab=tab: said(tab) == ["hello from the first"])
    say(tabs[1], "und grüße zurück 🎈")
    for tab in tabs:
        until(browser, lambda tab=tab: said(tab) == ["hello from the first", "und grüße zurück 🎈"])


def test_a_refused_connection_is_a_closed_one(browser, site, node):
    api = deploying.deploy_chat(node)
    site.pages["/"] = PAGE % (api.url + "?password=wrong")
    browser.get(site.origin)
    until(browser, lambda: browser.title == "closed 1006")
