"""The front door of a real node, used by real clients."""

import httpx
import pytest


@pytest.mark.parametrize("style", ["host", "path"])
def test_both_addresses_answer_whichever_is_told(start_node, name, make_url, style):
    node = start_node("--in-memory", "--url-style", style)
    told = make_url(node, name)
    url_id = told.split("/")[-2] if style == "path" else told.split("/")[2].split(".")[0]
    host = f"{url_id}.lambda-url.us-east-1.localhost:{node.netloc.split(':')[1]}"
    by_path = f"{node.url}/_aws/lambda-url/{url_id}/"
    assert told == (f"http://{host}/" if style == "host" else by_path)
    for answer in (
        httpx.get(by_path + "a?b=c"),
        httpx.get(node.url + "/a?b=c", headers={"Host": host}),
        httpx.get(node.url + "/a?b=c", headers={"Host": host.upper()}),
    ):
        event = answer.json()
        assert (event["rawPath"], event["rawQueryString"], event["requestContext"]["domainPrefix"]) == ("/a", "b=c", url_id)
