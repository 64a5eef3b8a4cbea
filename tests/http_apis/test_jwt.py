"""JWT authorizers: tokens that hold are let in, whatever else a token may be is refused."""

import base64
import json
import time
import uuid

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt as other_jwt
from joserfc.jwk import RSAKey


def b64(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk_of(key, key_id, **more):
    family = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return family.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"} | more


RSA, OTHER, EC = (
    rsa.generate_private_key(65537, 2048),
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
)
WEAK = rsa.generate_private_key(65537, 1024)


class Issuer:
    """An issuer on the test's server: publishes keys, and signs with them."""

    def __init__(self, server):
        self.server = server
        realm = f"/realm-{uuid.uuid4().hex}"  # a port may come again, and the node remembers an issuer
        self.url, self.discovery = server.url + realm, f"{realm}/.well-known/openid-configuration"
        server.answers[self.discovery] = self._json({"issuer": self.url, "jwks_uri": f"{server.url}/keys"})
        self.publish(jwk_of(RSA, "r1"), jwk_of(EC, "e1"))

    def _json(self, document):
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def publish(self, *keys):
        self.server.answers["/keys"] = self._json({"keys": list(keys)})

    def claims(self, **more):
        now = int(time.time())
        usual = {"iss": self.url, "aud": "app", "sub": "me", "iat": now, "nbf": now, "exp": now + 600, "scope": "read write"}
        return {name: value for name, value in {**usual, **more}.items() if value is not None}

    def token(self, key=RSA, algorithm="RS256", key_id="r1", headers=None, **claims):
        return jwt.encode(self.claims(**claims), key, algorithm, headers={"kid": key_id, **(headers or {})})


@pytest.fixture
def issuer(server):
    return Issuer(server)


@pytest.fixture
def guarded(api, issuer, echo_arn):
    """An API with a route for any token and one that wants a scope; `ask` calls it."""
    authorizer = api.gateway.create_authorizer(
        ApiId=api.id, Name="jwt", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer.url, "Audience": ["app", "other"]},
    )["AuthorizerId"]  # fmt: skip
    more = {"AuthorizationType": "JWT", "AuthorizerId": authorizer}
    api.route("GET /any", api.function(echo_arn), **more)
    api.route("GET /one", api.function(echo_arn, "1.0"), **more)
    api.route("GET /admin", api.function(echo_arn), **more, AuthorizationScopes=["admin", "root"])
    api.route("GET /read", api.function(echo_arn), **more, AuthorizationScopes=["read", "root"])
    api.ask = lambda token, path="/any", scheme="Bearer ": api.call(path=path, headers={"Authorization": scheme + token})
    return api


def refused(answer, status=401):
    assert (answer.status_code, answer.json()) == (status, {"message": {401: "Unauthorized", 403: "Forbidden"}[status]})
    return answer.headers["www-authenticate"]


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS512"])
def test_tokens_that_hold_are_let_in(guarded, issuer, algorithm):
    assert guarded.ask(issuer.token(algorithm=algorithm)).status_code == 200


def test_other_forms_of_tokens_that_hold(guarded, issuer):
    assert guarded.ask(issuer.token(EC, "ES256", "e1")).status_code == 200
    assert guarded.ask(issuer.token(), scheme="").status_code == 200
    assert guarded.ask(issuer.token(), scheme="bearer ").status_code == 200
    assert guarded.ask(issuer.token(aud=["x", "other"])).status_code == 200
    assert guarded.ask(issuer.token(aud=None, client_id="app")).status_code == 200
    assert guarded.ask(issuer.token(exp=int(time.time()) - 5, nbf=int(time.time()) + 5)).status_code == 200  # within the skew


def test_a_token_of_another_library_is_let_in(guarded, issuer):
    pem = RSA.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    token = other_jwt.encode({"alg": "RS256", "kid": "r1"}, issuer.claims(), RSAKey.import_key(pem))
    assert guarded.ask(token).status_code == 200


@pytest.mark.filterwarnings("ignore")  # the provider's own libraries warn each other
def test_a_token_of_a_real_provider_is_let_in(api, echo_arn):
    """The code flow of OpenID Connect, as a web application goes through it."""
    import oidc_provider_mock

    with oidc_provider_mock.run_server_in_thread() as provider:
        issuer = f"http://localhost:{provider.server_port}"
        authorizer = api.gateway.create_authorizer(
            ApiId=api.id, Name="oidc", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": issuer, "Audience": ["web"]},
        )["AuthorizerId"]  # fmt: skip
        api.route("GET /x", api.function(echo_arn), AuthorizationType="JWT", AuthorizerId=authorizer)
        back = "http://localhost/back"
        query = {"response_type": "code", "client_id": "web", "redirect_uri": back, "scope": "openid", "state": "s", "nonce": "n"}
        gone = httpx.post(f"{issuer}/oauth2/authorize", params=query, data={"sub": "me@example.com"})
        code = httpx.URL(gone.headers["location"]).params["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        token = httpx.post(f"{issuer}/oauth2/token", data=form, auth=("web", "secret")).json()["id_token"]
        answer = api.call(path="/x", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.headers
        assert answer.json()["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] == "me@example.com"


def test_what_the_function_is_told(guarded, issuer):
    token = issuer.token(roles=["a", "b"], admin=True, level=3)
    event = guarded.ask(token).json()
    told = event["requestContext"]["authorizer"]["jwt"]
    assert told["scopes"] is None
    assert (told["claims"]["roles"], told["claims"]["admin"], told["claims"]["level"]) == ("[a b]", "true", "3")
    assert guarded.ask(token, "/read").json()["requestContext"]["authorizer"]["jwt"]["scopes"] == ["read", "write"]
    one = guarded.ask(token, "/one").json()["requestContext"]["authorizer"]
    assert (one["claims"]["sub"], one["scopes"]) == ("me", None)


def test_scopes_of_a_route(guarded, issuer):
    assert 'error="insufficient_scope"' in refused(guarded.ask(issuer.token(), "/admin"), 403)
    assert guarded.ask(issuer.token(scope="x admin"), "/admin").status_code == 200
    assert guarded.ask(issuer.token(scope=None, scp=["admin"]), "/admin").status_code == 200
    refused(guarded.ask(issuer.token(scope=None), "/read"), 403)
    refused(guarded.ask(issuer.token(scope={"admin": 1}), "/admin"), 403)


def test_no_token(guarded):
    assert refused(guarded.call(path="/any")) == "Bearer"
    refused(guarded.ask("", scheme=""))
    assert guarded.call(path="/elsewhere").status_code == 404


def wrong_claims():
    now = time.time()
    return {
        "expired": {"exp": int(now) - 60},
        "no expiry": {"exp": None},
        "expiry is text": {"exp": "tomorrow"},
        "expiry is true": {"exp": True},
        "not yet": {"nbf": int(now) + 120},
        "from the future": {"iat": int(now) + 120},
        "another audience": {"aud": "somebody"},
        "an audience of nothing": {"aud": []},
        "no audience": {"aud": None},
        "audience hidden by the client id": {"aud": "somebody", "client_id": "app"},
        "another issuer": {"iss": "https://evil.example"},
        "no issuer": {"iss": None},
        "an issuer with a slash more": {"iss": "SLASH"},
    }


@pytest.mark.parametrize("case", wrong_claims())
def test_wrong_claims_are_refused(guarded, issuer, case):
    claims = wrong_claims()[case]
    if claims.get("iss") == "SLASH":
        claims["iss"] = issuer.url + "/"
    assert 'error="invalid_token"' in refused(guarded.ask(issuer.token(**claims)))


def forged(issuer):
    claims = issuer.claims()
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = issuer.token()
    head, body, signature = good.split(".")

    def unsigned(algorithm):
        return f"{b64({'alg': algorithm, 'kid': 'r1', 'typ': 'JWT'})}.{b64(claims)}."

    def hmac_with(secret):
        import hashlib
        import hmac

        text = f"{b64({'alg': 'HS256', 'kid': 'r1'})}.{b64(claims)}"
        return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    own = jwk_of(OTHER, "r1")
    return {
        "none": unsigned("none"),
        "NONE": unsigned("NONE"),
        "none with a signature": unsigned("none") + signature,
        "HS256 with the public key": hmac_with(public),
        "HS256 with the key's document": hmac_with(json.dumps(jwk_of(RSA, "r1")).encode()),
        "signed by another": issuer.token(OTHER),
        "another's key in the token": issuer.token(OTHER, headers={"jwk": own}),
        "another's key by jku": issuer.token(OTHER, headers={"jku": f"{issuer.server.url}/evil"}),
        "another's key by x5u": issuer.token(OTHER, headers={"x5u": f"{issuer.server.url}/evil"}),
        "unknown kid": issuer.token(key_id="r9"),
        "no kid": jwt.encode(claims, RSA, "RS256"),
        "kid is a path": issuer.token(key_id="../../../../etc/passwd"),
        "kid is SQL": issuer.token(key_id="r1' OR '1'='1"),
        "kid is a number": f"{b64({'alg': 'RS256', 'kid': 1})}.{body}.{signature}",
        "RSA signature under an EC kid": issuer.token(key_id="e1"),
        "ES256 under an RSA kid": issuer.token(EC, "ES256", "r1"),
        "ECDSA of zeros": f"{b64({'alg': 'ES256', 'kid': 'e1'})}.{b64(claims)}.{b64(bytes(64))}",
        "ECDSA of nothing": f"{b64({'alg': 'ES256', 'kid': 'e1'})}.{b64(claims)}.",
        "weak key": issuer.token(WEAK, key_id="w1"),
        "unknown crit": issuer.token(headers={"crit": ["exp2"], "exp2": 1}),
        "b64 is false": issuer.token(headers={"crit": ["b64"], "b64": False}),
        "changed body": f"{head}.{b64(claims | {'sub': 'root'})}.{signature}",
        "signature cut": good[:-4],
        "two parts": f"{head}.{body}",
        "five parts": f"{head}.{body}.{signature}.x.y",
        "body is no object": jwt.api_jws.encode(b"[1]", RSA, "RS256", headers={"kid": "r1"}),
        "head is no JSON": f"{b64(b'{')}.{body}.{signature}",
        "head is a list": f"{b64([1])}.{body}.{signature}",
        "deep": f"{b64(b'[' * 5000)}.{body}.{signature}",
        "rubbish": "rubbish",
        "dots": "...",
        "huge": issuer.token(blob="x" * 20_000),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_forged_tokens_are_refused(guarded, issuer):
    issuer.publish(jwk_of(RSA, "r1"), jwk_of(EC, "e1"), jwk_of(WEAK, "w1"), {"kty": "oct", "kid": "o1", "k": b64(b"secret")})
    assert guarded.ask(issuer.token()).status_code == 200
    let_in = [case for case, token in forged(issuer).items() if guarded.ask(token).status_code != 401]
    assert let_in == []
    assert "/evil" not in issuer.server.seen
    secret = jwt.encode(issuer.claims(), b"secret", "HS256", headers={"kid": "o1"})
    refused(guarded.ask(secret))


def test_a_key_that_says_its_algorithm_is_for_that_alone(guarded, issuer):
    issuer.publish(jwk_of(RSA, "r1", alg="RS512"), jwk_of(OTHER, "r2", use="enc"))
    refused(guarded.ask(issuer.token(algorithm="RS256")))
    assert guarded.ask(issuer.token(algorithm="RS512")).status_code == 200
    refused(guarded.ask(issuer.token(OTHER, key_id="r2")))


def test_new_keys_are_found_and_strangers_do_not_make_the_node_ask_without_end(guarded, issuer):
    assert guarded.ask(issuer.token()).status_code == 200
    asked = issuer.server.seen.count("/keys")
    assert guarded.ask(issuer.token()).status_code == 200
    assert issuer.server.seen.count("/keys") == asked
    issuer.publish(jwk_of(OTHER, "r2"))
    assert guarded.ask(issuer.token(OTHER, key_id="r2")).status_code == 200
    refused(guarded.ask(issuer.token()))  # its key is withdrawn
    with httpx.Client() as client:
        for number in range(40):
            client.get(guarded.url("/any"), headers={"Authorization": issuer.token(OTHER, key_id=f"x{number}")})
    assert issuer.server.seen.count("/keys") <= 6


@pytest.mark.parametrize("what", ["status", "text", "size", "location", "list"])
def test_an_issuer_that_answers_nonsense(guarded, issuer, what):
    issuer.server.answers[issuer.discovery] = {
        "status": (500, {}, b"{}"),
        "text": (200, {}, b"<html>"),
        "size": (200, {}, b'{"x": "' + b"x" * 600_000 + b'"}'),
        "location": (200, {}, b'{"jwks_uri": "file:///etc/passwd"}'),
        "list": (200, {}, b"[]"),
    }[what]
    assert "OIDC discovery endpoint communication error" in refused(guarded.ask(issuer.token()))


def test_a_token_elsewhere_than_in_a_header(api, issuer, echo_arn):
    authorizer = api.gateway.create_authorizer(
        ApiId=api.id, Name="q", AuthorizerType="JWT", IdentitySource=["$request.querystring.token"],
        JwtConfiguration={"Issuer": issuer.url, "Audience": ["app"]},
    )["AuthorizerId"]  # fmt: skip
    api.route("GET /x", api.function(echo_arn), AuthorizationType="JWT", AuthorizerId=authorizer)
    assert api.call(path=f"/x?token={issuer.token()}").status_code == 200
    refused(api.call(path="/x"))
