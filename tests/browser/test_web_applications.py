"""Whole web applications, seen by a browser as their users see them: pages, forms, cookies, styles and scripts."""

import importlib.util
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WEBAPPS = Path(__file__).parents[1] / "webapps"
SWAGGER = WEBAPPS / "js" / "node_modules" / "swagger-ui-dist"


def load(name):
    spec = importlib.util.spec_from_file_location(f"webapps_{name}", WEBAPPS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def deploy(node):
    deployer = load("conftest").Deployer(node, "pages")
    yield deployer
    deployer.close()


@pytest.fixture
def until(browser):
    """Waits until something is true of the page, and gives it."""
    waiting = WebDriverWait(browser, 20, ignored_exceptions=[StaleElementReferenceException])  # a page may be going as it is asked
    return lambda condition: waiting.until(lambda _: condition())


def failures(browser):
    """What the browser complains of: pages, styles or scripts that did not come, scripts that failed."""
    messages = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in messages if "favicon.ico" not in message]  # that a browser asks for by itself


FLASK = """
from flask import Flask, request, session, redirect, url_for
app = Flask(__name__)
app.secret_key = "not a secret"
PAGE = '''<!doctype html><title>Notes</title><link rel="stylesheet" href="{style}">
<h1>{count} notes</h1><ul>{notes}</ul><form method="post" action="{action}"><input name="note"><button>Keep</button></form>'''

@app.get("/")
def index():
    notes = session.get("notes", [])
    return PAGE.format(count=len(notes), notes="".join(f"<li>{note}" for note in notes),
                       style=url_for("static", filename="style.css"), action=url_for("keep"))

@app.post("/keep")
def keep():
    session["notes"] = session.get("notes", []) + [request.form["note"]]
    return redirect(url_for("index"))
"""


@pytest.mark.parametrize("door", ["url_of", "rest_of", "http_api_of"])
def test_a_flask_page_with_a_form_a_session_and_a_style(browser, deploy, until, door):
    files = {"app.py": FLASK, "static/style.css": "h1 { color: rgb(1, 2, 3) }"}
    site = getattr(deploy, door)(deploy.function(files, "app:app", packages=("flask",)))
    browser.get(site.url + ("/" if site.root else ""))
    assert browser.title == "Notes" and browser.find_element(By.TAG_NAME, "h1").text == "0 notes"
    for count, note in enumerate(("première", "second & last"), 1):
        browser.find_element(By.NAME, "note").send_keys(note)
        browser.find_element(By.TAG_NAME, "button").click()
        until(lambda count=count: browser.find_element(By.TAG_NAME, "h1").text == f"{count} notes")
    assert [each.text for each in browser.find_elements(By.TAG_NAME, "li")] == ["première", "second & last"]
    assert "1, 2, 3" in browser.find_element(By.TAG_NAME, "h1").value_of_css_property("color")
    assert failures(browser) == []


def test_djangos_admin(browser, deploy, until):
    variables = {
        "CUMULET_CONCURRENCY": "16"
    }  # a browser asks for several things at once, and the database is the environment's own
    files = load("test_python_apps").DJANGO
    site = deploy.url_of(deploy.function(files, "site_app:application", packages=("django",), variables=variables))
    browser.get(f"{site.url}admin/")
    assert browser.current_url == f"{site.url}admin/login/?next=/admin/"
    for name, text in (("username", "ann"), ("password", "secret")):
        browser.find_element(By.NAME, name).send_keys(text)
    browser.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
    until(lambda: browser.current_url == f"{site.url}admin/")
    assert "Site administration" in browser.title and "ANN" in browser.find_element(By.ID, "user-tools").text.upper()
    header = browser.find_element(By.ID, "header").value_of_css_property("background-color")
    assert header not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")  # its styles are there
    browser.get(f"{site.url}admin/auth/group/add/")
    browser.find_element(By.NAME, "name").send_keys("Gardeners")
    browser.find_element(By.NAME, "_save").click()
    until(lambda: browser.current_url == f"{site.url}admin/auth/group/")
    assert "Gardeners" in browser.find_element(By.ID, "result_list").text
    assert failures(browser) == []


FASTAPI = """
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
app = FastAPI(title="Shop", docs_url=None)
app.mount("/static", StaticFiles(directory="static"))

@app.get("/docs", include_in_schema=False)
def docs():  # as FastAPI's documentation has it for machines without the internet
    return get_swagger_ui_html(openapi_url="openapi.json", title="Shop", swagger_favicon_url="data:,",
                               swagger_js_url="static/swagger-ui-bundle.js", swagger_css_url="static/swagger-ui.css")

@app.get("/items/{number}")
def item(number: int):
    return {"item": number}
"""


@pytest.mark.skipif(not SWAGGER.is_dir(), reason="run npm install in tests/webapps/js")
def test_fastapis_documentation_page_calls_its_api(browser, deploy, until):
    files = {"app.py": FASTAPI}
    files |= {f"static/{name}": (SWAGGER / name).read_bytes() for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
    site = deploy.rest_of(deploy.function(files, "app:app", packages=("fastapi",)))
    browser.get(f"{site.url}/docs")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".opblock-summary-path"))
    operation = browser.find_element(By.CSS_SELECTOR, ".opblock-summary-control")
    operation.click()
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".try-out__btn"))[0].click()
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "input[placeholder=number]"))[0].send_keys("7")
    browser.find_element(By.CSS_SELECTOR, ".execute").click()
    answer = until(lambda: browser.find_elements(By.CSS_SELECTOR, ".live-responses-table .response-col_description code"))
    assert '"item": 7' in answer[0].text
    assert failures(browser) == []
