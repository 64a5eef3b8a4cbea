"""A page of another origin calls an HTTP API: the gateway answers the browser's question, and then the route is asked."""

import io
import json
import sys
import zipfile

PYTHON = f"python3.{sys.version_info.minor}"
CODE = """\
def handler(event, context):
    return {"seen": event["headers"].get("x-note"), "method": event["requestContext"]["http"]["method"]}
"""

CALL = """\
const [url, done] = arguments;
fetch(url, {method: "PUT", headers: {"X-Note": "hello", "Content-Type": "application/json"}, body: "{}"})
    .then(answer => answer.json().then(body => done({status: answer.status, body, id: answer.headers.get("Apigw-Requestid")})))
    .catch(error => done({error: error.name}));
"""


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("index.py", CODE)
    return buffer.getvalue()


def deploy(node, name, origins):
    arn = node.client("lambda").create_function(
        FunctionName=name, Runtime=PYTHON, Handler="index.handler", Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": archive()},
    )["FunctionArn"]  # fmt: skip
    cors = {
        "AllowOrigins": origins, "AllowMethods": ["PUT"], "AllowHeaders": ["x-note", "content-type"],
        "ExposeHeaders": ["apigw-requestid"],
    }  # fmt: skip
    made = node.client("apigatewayv2").create_api(
        Name=name, ProtocolType="HTTP", Target=arn, RouteKey="PUT /notes", CorsConfiguration=cors
    )
    return f"{node.url}/_aws/execute-api/{made['ApiId']}/notes"


def test_a_page_of_an_allowed_origin_reads_the_answer(browser, site, node, name):
    site.pages["/"] = "<!doctype html><title>page</title>"
    url = deploy(node, name, [site.origin])
    browser.get(site.origin + "/")
    answer = browser.execute_async_script(CALL, url)
    assert (answer["status"], answer["body"]) == (200, {"seen": "hello", "method": "PUT"}), json.dumps(answer)
    assert len(answer["id"]) == 36
    browser.get(site.other_origin + "/")
    assert browser.execute_async_script(CALL, url) == {"error": "TypeError"}
