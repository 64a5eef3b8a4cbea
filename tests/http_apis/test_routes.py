"""Route selection, against the rules read one by one."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.gateway.http_api.routes import Routes


def routes(*keys):
    return Routes((key, key) for key in keys)


DOCUMENTED = routes("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")


@pytest.mark.parametrize(
    ("method", "path", "key", "variables"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        ("POST", "/test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        ("GET", "/", "$default", {}),
        ("GET", "/pets/", "ANY /{proxy+}", {"proxy": "pets/"}),
        ("GET", "/pets/dog/a%2Fb", "GET /pets/dog/{id}", {"id": "a/b"}),
        ("GET", "/%70ets/dog/1", "GET /pets/dog/1", {}),
    ],
)
def test_the_documented_precedence(method, path, key, variables):
    assert DOCUMENTED.match(path, method) == (key, variables)


def test_a_whole_match_goes_before_a_greedy_one_wherever_they_part():
    tree = routes("GET /a/{proxy+}", "GET /{x}/b")
    assert tree.match("/a/b", "GET") == ("GET /{x}/b", {"x": "a"})
    assert tree.match("/a/c", "GET") == ("GET /a/{proxy+}", {"proxy": "c"})


def test_the_method_goes_before_any_and_is_asked_on_every_level():
    tree = routes("ANY /x", "GET /x", "POST /{y}")
    assert tree.match("/x", "GET") == ("GET /x", {})
    assert tree.match("/x", "POST") == ("ANY /x", {})
    assert tree.match("/z", "POST") == ("POST /{y}", {"y": "z"})
    assert tree.match("/z", "GET") is None


PART = st.sampled_from(["a", "b", "{x}", "{y}", "é"])
KEY = st.builds(
    lambda method, parts, greedy: f"{method} /" + "/".join([*parts, *(["{p+}"] if greedy else [])]),
    st.sampled_from(["GET", "ANY", "POST"]),
    st.lists(PART, max_size=3),
    st.booleans(),
)
PATH = st.lists(st.sampled_from(["a", "b", "c", "", "%61", "%C3%A9"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def rank(key, method, path):
    """How well a key fits, larger is better; None: not at all. The rules, read slowly."""
    wanted, _, pattern = key.partition(" ")
    if wanted not in (method, "ANY"):
        return None
    parts, given_parts, score = pattern[1:].split("/"), [unquote(part) for part in path[1:].split("/")], []
    for at, part in enumerate(parts):
        if part.endswith("+}"):
            return (0, at) if at < len(given_parts) and "/".join(given_parts[at:]) else None
        if at >= len(given_parts):
            return None
        if part.startswith("{"):
            if not given_parts[at]:
                return None
            score.append(0)
        elif part == given_parts[at]:
            score.append(1)
        else:
            return None
    return (1, *score) if len(parts) == len(given_parts) else None


@given(st.lists(KEY, min_size=1, max_size=8, unique=True), PATH)
def test_no_other_route_fits_better(keys, path):
    found = routes(*keys).match(path, "GET")
    ranks = {key: score for key in keys if (score := rank(key, "GET", path)) is not None}
    if not ranks:
        assert found is None
    else:
        assert found is not None and ranks[found[0]] == max(ranks.values())


def test_two_thousand_routes_cost_what_twenty_do():
    """Counted in comparisons of parts, not in seconds."""

    class Counting(str):
        hashed = 0

        def __hash__(self):
            Counting.hashed += 1
            return super().__hash__()

    costs = []
    for number in (20, 2000):
        tree = routes(*(f"GET /v1/group{at % 50}/thing{at}/{{id}}" for at in range(number)))
        path = "/v1/group7/thing7/1"
        Counting.hashed = 0
        real = tree.match(path, "GET")
        assert real is not None
        parts = [Counting(part) for part in path[1:].split("/")]
        from cumulet.gateway.http_api import routes as module

        module._search(tree._root, parts, 0, "GET", [], [])
        costs.append(Counting.hashed)
    assert costs[0] == costs[1]
