"""Names that custom domains can have, and those that are the node's own."""

import pytest

from cumulet.core.domain_names import is_domain_name, is_reserved


@pytest.mark.parametrize("name", ["a.b", "api.example.com", "*.example.com", "api.shop.localhost", "x.internal", "4u.example"])
def test_names_that_can_be_had(name):
    assert is_domain_name(name) and not is_reserved(name)


@pytest.mark.parametrize(
    "name",
    ["127.0.0.1", "shop.localhost", "*.localhost", "lambda.us-east-1.localhost", "amazonaws.com", "x.y.amazonaws.com",
     "abc.execute-api.us-east-1.localhost", "*.execute-api.example.com", "abc.lambda-url.example.com"],
)  # fmt: skip
def test_names_that_are_the_nodes_own(name):
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name", ["", "a", "A.b", "a..b", "-a.b", "a.b-", "a b.c", "*.*.b", "a.*.b", "a.b:80", "é.b", "a." * 127 + "bb"]
)
def test_what_is_no_name(name):
    assert not is_domain_name(name)
