"""Policy documents: what each kind of statement allows."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.gateway.policies import PolicyError, Question, evaluate, matches

ARN = "arn:aws:execute-api:us-east-1:1:api/prod/GET/pets/1"


def verdict(*statements, facts=None, **more):
    question = Question("execute-api:Invoke", ARN, facts=facts, **more)
    return evaluate({"Statement": list(statements)}, question, has_principals="principal" in more or "account" in more)


def allow(**members):
    return {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"} | members


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(), "allow"),
        (allow(Action="execute-api:*"), "allow"),
        (allow(Action=["EXECUTE-API:invoke", "x"]), "allow"),
        (allow(Action="lambda:*"), "none"),
        (allow(Resource="arn:aws:execute-api:*:*:api/*/GET/*"), "allow"),
        (allow(Resource="arn:aws:execute-api:*:*:api/prod/POST/*"), "none"),
        (allow(Resource=["no", "arn:aws:execute-api:us-east-1:1:api/????/GET/pets/1"]), "allow"),
        ({"Effect": "Allow", "NotAction": "s3:*", "NotResource": "arn:aws:s3:::x"}, "allow"),
        (allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), "allow"),
        (allow(Condition={"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}}), "none"),
        (allow(Condition={"StringLike": {"aws:UserAgent": "curl/*"}, "Bool": {"aws:SecureTransport": "false"}}), "allow"),
        (allow(Condition={"StringEquals": {"aws:unknown": "x"}}), "none"),
        (allow(Condition={"StringEqualsIfExists": {"aws:unknown": "x"}}), "allow"),
        (allow(Condition={"StringNotEquals": {"aws:unknown": "x"}}), "allow"),
        (allow(Condition={"Null": {"aws:unknown": "true"}}), "allow"),
        (allow(Condition={"NoSuchTest": {"aws:SourceIp": "x"}}), "none"),
    ],
)
def test_statements(statement, expected):
    facts = {"aws:sourceip": "10.1.2.3", "aws:useragent": "curl/8", "aws:securetransport": "false"}
    assert verdict(statement, facts=facts) == expected
    assert verdict(statement | {"Effect": "Deny"}, allow(), facts=facts) == ("deny" if expected == "allow" else "allow")


def test_principals():
    user = "arn:aws:iam::1:user/ann"
    for principal, expected in (("*", "allow"), ({"AWS": user}, "allow"), ({"AWS": ["1"]}, "allow"), ({"AWS": "2"}, "none")):
        assert verdict(allow(Principal=principal), principal=user, account="1") == expected
    assert verdict(allow(Principal={"AWS": user}), principal=None) == "none"
    assert verdict(allow(Principal={"AWS": "*"}), principal=None) == "allow"
    assert verdict({"Effect": "Deny", "NotPrincipal": {"AWS": user}, "Action": "*", "Resource": "*"}, principal=None) == "deny"


@pytest.mark.parametrize(
    "document", [None, "text", [], {}, {"Statement": 1}, {"Statement": [1]}, {"Statement": [{"Effect": "Maybe"}]}]
)
def test_what_is_no_policy(document):
    with pytest.raises(PolicyError):
        evaluate(document, Question("a", "b"))


def test_wildcards_take_no_time():
    started = time.process_time()
    assert not matches("*a" * 2000 + "b", "a" * 16_000)
    assert time.process_time() - started < 5


@given(st.text(alphabet="ab*?.[\\", max_size=8), st.text(alphabet="ab.[\\\n", max_size=8))
def test_wildcards_mean_what_a_slow_reading_says(pattern, value):
    def slow(pattern, value):
        if not pattern:
            return not value
        if pattern[0] == "*":
            return any(slow(pattern[1:], value[at:]) for at in range(len(value) + 1))
        return bool(value) and pattern[0] in ("?", value[0]) and slow(pattern[1:], value[1:])

    assert matches(pattern, value) == slow(pattern, value)
