"""What a browser lets a page of another origin do, by the answers that the node gives it."""

import io
import json
import sys
import zipfile

import pytest

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
SERVE = """\
def handler(event, context):
    method = event["requestContext"]["http"]["method"]
    return {"statusCode": 200, "headers": {"x-shown": "yes", "x-hidden": "no"}, "body": method + " " + event.get("body", "")}
"""
CALL = """\
const [url, options, done] = arguments;
fetch(url, options).then(
    async answer => done({
        status: answer.status, body: await answer.text(),
        shown: answer.headers.get("x-shown"), hidden: answer.headers.get("x-hidden"),
    }),
    error => done({failed: error.name}),
);
"""


@pytest.fixture
def functions(node):
    return node.client("lambda")


@pytest.fixture
def url(node, functions, name, site):
    """A function URL that lets the site's first origin in."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("index.py", SERVE)
    functions.create_function(
        FunctionName=name, Runtime=PYTHON, Role=ROLE, Handler="index.handler", Code={"ZipFile": archive.getvalue()}
    )
    cors = {
        "AllowOrigins": [site.origin],
        "AllowMethods": ["PUT"],
        "AllowHeaders": ["content-type", "x-custom"],
        "ExposeHeaders": ["x-shown"],
        "MaxAge": 60,
    }
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)
    functions.add_permission(
        FunctionName=name, StatementId="all", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    return node.reachable(made["FunctionUrl"])


def put(**headers):
    return {"method": "PUT", "headers": {"content-type": "application/json", **headers}, "body": json.dumps({"a": 1})}


def test_a_page_of_an_allowed_origin_asks_first_and_then_calls(browser, site, url):
    site.pages["/"] = "<title>page</title>"
    browser.get(site.origin)
    answer = browser.execute_async_script(CALL, url, put(**{"x-custom": "1"}))
    assert answer == {"status": 200, "body": 'PUT {"a": 1}', "shown": "yes", "hidden": None}


def test_what_the_preflight_does_not_allow_is_not_done(browser, site, url):
    site.pages["/"] = "<title>page</title>"
    browser.get(site.origin)
    assert browser.execute_async_script(CALL, url, put(**{"x-other": "1"})) == {"failed": "TypeError"}
    assert browser.execute_async_script(CALL, url, {"method": "DELETE"}) == {"failed": "TypeError"}
    browser.get(site.other_origin)
    assert browser.execute_async_script(CALL, url, put()) == {"failed": "TypeError"}
