"""Addresses as they are told, and that what is told leads back to what it names."""

from urllib.parse import urlsplit

import pytest

from cumulet.core.http import Request
from cumulet.gateway.execute_api import ApiAddress, find_api
from cumulet.gateway.names import Addresses, find_addresses
from cumulet.gateway.routing import find_function_url

ENDPOINTS = [
    "http://127.0.0.1:4566",
    "https://127.0.0.1:8443",
    "http://[::1]:4566",
    "http://cloud.example:80",
    "http://cloud.example",
]


@pytest.mark.parametrize(
    ("is_host_style", "function_url", "api", "sockets"),
    [
        (
            True,
            "http://u1.lambda-url.eu-west-1.localhost:4566/",
            "http://a1.execute-api.eu-west-1.localhost:4566",
            "ws://a1.execute-api.eu-west-1.localhost:4566/prod",
        ),
        (
            False,
            "http://127.0.0.1:4566/_aws/lambda-url/u1/",
            "http://127.0.0.1:4566/_aws/execute-api/a1",
            "ws://127.0.0.1:4566/_aws/execute-api/a1/prod",
        ),
    ],
)
def test_addresses_in_both_styles(is_host_style, function_url, api, sockets):
    addresses = Addresses("http://127.0.0.1:4566", is_host_style)
    assert addresses.function_url("u1", "eu-west-1") == function_url
    assert addresses.api_endpoint("a1", "eu-west-1") == api
    assert addresses.api_endpoint("a1", "eu-west-1", "prod", scheme="ws") == sockets


def test_over_tls_both_schemes_are_secure():
    addresses = Addresses("https://127.0.0.1:8443", True)
    assert addresses.api_endpoint("a1", "us-east-1") == "https://a1.execute-api.us-east-1.localhost:8443"
    assert addresses.api_endpoint("a1", "us-east-1", scheme="ws") == "wss://a1.execute-api.us-east-1.localhost:8443"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("is_host_style", [True, False])
def test_what_is_told_leads_back(endpoint, is_host_style):
    addresses = Addresses(endpoint, is_host_style)
    url = urlsplit(addresses.function_url("u1", "us-gov-west-1"))
    assert find_function_url(Request("GET", url.path + "x", "", []), url.netloc) == ("u1", "/x")
    url = urlsplit(addresses.api_endpoint("a1", "ap-southeast-2", "prod"))
    assert url.port == urlsplit(endpoint).port
    assert find_api(Request("GET", url.path + "/x", "", []), url.netloc) == ApiAddress("a1", "/prod/x")


async def test_the_style_is_chosen_where_it_is_left_open(monkeypatch):
    endpoint = "http://127.0.0.1:4566"
    assert (await find_addresses(endpoint, "host", is_local=False)).is_host_style
    assert not (await find_addresses(endpoint, "path", is_local=True)).is_host_style
    for resolves in (True, False):

        def look_up(name, *_more, resolves=resolves):
            if not resolves:
                raise OSError(name)
            return [(2, 1, 6, "", ("127.0.0.1", 80))]

        monkeypatch.setattr("socket.getaddrinfo", look_up)
        assert (await find_addresses(endpoint, "auto", is_local=True)).is_host_style is resolves
        assert not (await find_addresses(endpoint, "auto", is_local=False)).is_host_style
