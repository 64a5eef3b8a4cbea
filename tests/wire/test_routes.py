"""Which operation a path means."""

import pytest

from cumulet.core.http import Request
from cumulet.wire.service import load_service


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/2015-03-31/functions", "ListFunctions"),
        ("GET", "/2015-03-31/functions/", "ListFunctions"),  # as older SDKs ask
        ("GET", "/2015-03-31/functions/hello", "GetFunction"),
        ("GET", "/2015-03-31/functions/hello/", "GetFunction"),
        ("POST", "/2015-03-31/functions/hello/invocations", "Invoke"),
        ("GET", "/2018-10-31/layers/", "ListLayers"),
    ],
)
def test_a_slash_at_the_end_means_nothing(method, path, operation):
    assert load_service("lambda").match(Request(method, path, "", [])).name == operation
