"""Documentation of an API: parts at places, versions that stages show, and both ways through OpenAPI."""

import json

import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.rest_apis.documentation import Documentation


def _refused(code, call, **members):
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["Error"]["Code"] == code
    return caught.value.response["Error"]["Message"]


def _part(api, properties, **location):
    return api.gateway.create_documentation_part(restApiId=api.id, location=location, properties=json.dumps(properties))


def test_a_part_from_its_making_to_its_end(api):
    gateway = api.gateway
    made = _part(api, {"description": "all answers"}, type="RESPONSE", path="/pets")
    assert made["location"] == {"type": "RESPONSE", "path": "/pets", "method": "*", "statusCode": "*"}
    place = {"restApiId": api.id, "documentationPartId": made["id"]}
    changed = gateway.update_documentation_part(
        **place, patchOperations=[{"op": "replace", "path": "/properties", "value": '{"description": "new"}'}]
    )
    found = gateway.get_documentation_part(**place)
    assert json.loads(found["properties"]) == json.loads(changed["properties"]) == {"description": "new"}
    other = _part(api, {"summary": "s"}, type="METHOD", path="/pets", method="GET")
    for wanted, ids in (
        ({"type": "METHOD"}, {other["id"]}),
        ({"path": "/pets"}, {made["id"], other["id"]}),
        ({"nameQuery": "x"}, set()),
    ):
        assert {each["id"] for each in gateway.get_documentation_parts(restApiId=api.id, **wanted)["items"]} == ids
    gateway.delete_documentation_part(**place)
    assert "Documentation part" in _refused("NotFoundException", gateway.get_documentation_part, **place)


@pytest.mark.parametrize(
    ("location", "properties"),
    [
        ({"type": "API", "path": "/"}, '{"a": 1}'),
        ({"type": "MODEL"}, '{"a": 1}'),
        ({"type": "RESOURCE", "path": "pets"}, '{"a": 1}'),
        ({"type": "METHOD", "method": "FETCH"}, '{"a": 1}'),
        ({"type": "API"}, "{"),
        ({"type": "API"}, "[1]"),
        ({"type": "API"}, "{}"),
        ({"type": "API"}, json.dumps({"a": "x" * 70_000})),
    ],
)
def test_what_cannot_be_a_part_is_refused(api, location, properties):
    _refused(
        "BadRequestException", api.gateway.create_documentation_part, restApiId=api.id, location=location, properties=properties
    )


def test_a_place_has_one_part(api):
    _part(api, {"a": 1}, type="RESOURCE", path="/")
    with pytest.raises(ClientError, match="Documentation part already exists for the specified location"):
        _part(api, {"a": 2}, type="RESOURCE")


def test_what_nobody_documented_is_listed(api):
    api.mock("GET", "/pets", requestParameters={"method.request.querystring.owner": False})
    _part(api, {"a": 1}, type="METHOD", path="/pets", method="GET")
    found = api.gateway.get_documentation_parts(restApiId=api.id, locationStatus="UNDOCUMENTED", path="/pets")["items"]
    assert {each["location"]["type"] for each in found} == {"RESOURCE", "QUERY_PARAMETER", "RESPONSE"}
    assert all("id" not in each for each in found)


def test_a_stage_shows_the_version_that_it_names(api):
    gateway = api.gateway
    place = api.mock("GET", "/pets/{id}", requestParameters={"method.request.path.id": True})
    gateway.put_method_response(**place, statusCode="404")
    _part(api, {"info": {"description": "Animals", "contact": {"name": "Ann"}}, "tags": [{"name": "pets"}]}, type="API")
    _part(api, {"summary": "One pet", "tags": ["pets"]}, type="METHOD", path="/pets/{id}", method="GET")
    _part(api, {"description": "Its number"}, type="PATH_PARAMETER", path="/pets", name="id")
    _part(api, {"description": "No such thing"}, type="RESPONSE", path="/", statusCode="404")
    late = _part(api, {"description": "Soon to change"}, type="RESOURCE", path="/pets/{id}")
    api.deploy()
    made = gateway.create_documentation_version(restApiId=api.id, documentationVersion="1.0", stageName="prod", description="first")
    gateway.delete_documentation_part(restApiId=api.id, documentationPartId=late["id"])
    assert gateway.get_stage(restApiId=api.id, stageName="prod")["documentationVersion"] == made["version"] == "1.0"

    def export(kind, **parameters):
        answer = gateway.get_export(restApiId=api.id, stageName="prod", exportType=kind, parameters=parameters)
        return json.loads(answer["body"].read())

    for kind in ("oas30", "swagger"):
        document = export(kind)
        assert document["info"]["description"] == "Animals" and document["info"]["contact"] == {"name": "Ann"}
        operation = document["paths"]["/pets/{id}"]["get"]
        assert (operation["summary"], operation["tags"], document["tags"]) == ("One pet", ["pets"], [{"name": "pets"}])
        assert operation["parameters"][0]["description"] == "Its number"
        assert operation["responses"]["404"]["description"] == "No such thing"
        assert operation["responses"]["200"]["description"] == "200 response"
        assert "x-amazon-apigateway-documentation" not in document
    assert export("oas30")["paths"]["/pets/{id}"]["description"] == "Soon to change"
    extension = export("oas30", extensions="documentation")["x-amazon-apigateway-documentation"]
    assert extension["version"] == "1.0" and len(extension["documentationParts"]) == 5

    whole = {"restApiId": api.id, "documentationVersion": "1.0"}
    assert "stage" in _refused("ConflictException", gateway.delete_documentation_version, **whole)
    _refused("ConflictException", gateway.create_documentation_version, **whole)
    gateway.update_documentation_version(**whole, patchOperations=[{"op": "replace", "path": "/description", "value": "old"}])
    assert gateway.get_documentation_version(**whole)["description"] == "old"
    assert [each["version"] for each in gateway.get_documentation_versions(restApiId=api.id)["items"]] == ["1.0"]
    remove = [{"op": "replace", "path": "/documentationVersion", "value": ""}]
    gateway.update_stage(restApiId=api.id, stageName="prod", patchOperations=remove)
    gateway.delete_documentation_version(**whole)
    unknown = [{"op": "replace", "path": "/documentationVersion", "value": "9"}]
    _refused("NotFoundException", gateway.update_stage, restApiId=api.id, stageName="prod", patchOperations=unknown)


DOCUMENT = """
openapi: 3.0.1
info: {title: t, version: "1", description: of the document}
components: {parameters: {Owner: {in: query, name: owner, description: whose}}}
paths:
  /pets:
    parameters: [{$ref: '#/components/parameters/Owner'}]
    get:
      summary: all
      responses: {"200": {description: fine, headers: {X-Count: {description: how many}}}}
      x-amazon-apigateway-integration: {type: mock}
x-amazon-apigateway-documentation:
  documentationParts:
    - {location: {type: API}, properties: {info: {description: of the extension}}}
"""


def _shown(gateway, api_id):
    parts = gateway.get_documentation_parts(restApiId=api_id)["items"]
    return {each["location"]["type"]: json.loads(each["properties"]) for each in parts}


def test_an_import_brings_the_documentation_along(node, api):
    gateway = node.client("apigateway")
    made = gateway.import_rest_api(body=DOCUMENT.encode())["id"]
    wanted = {
        "API": {"info": {"description": "of the extension"}}, "METHOD": {"summary": "all"},
        "QUERY_PARAMETER": {"description": "whose"}, "RESPONSE": {"description": "fine"},
        "RESPONSE_HEADER": {"description": "how many"},
    }  # fmt: skip
    assert _shown(gateway, made) == wanted
    plain = gateway.import_rest_api(body=DOCUMENT.encode(), parameters={"ignore": "documentation"})["id"]
    assert _shown(gateway, plain) == {}

    _part(api, {"info": {"description": "before"}}, type="API")
    kept = _part(api, {"a": 1}, type="MODEL", name="Pet")
    ids = gateway.import_documentation_parts(restApiId=api.id, body=DOCUMENT.encode())["ids"]
    assert len(ids) == 5 and _shown(gateway, api.id) == wanted | {"MODEL": {"a": 1}}
    gateway.import_documentation_parts(restApiId=api.id, mode="overwrite", body=DOCUMENT.encode())
    assert _shown(gateway, api.id) == wanted
    _refused("NotFoundException", gateway.get_documentation_part, restApiId=api.id, documentationPartId=kept["id"])


@pytest.mark.parametrize("text", ["", "[]", "openapi: 3.0.1\npaths: 7", "openapi: 3.0.1\npaths: {/a: {get: {responses: 1}}}",
    "openapi: 3.0.1\nx-amazon-apigateway-documentation: {documentationParts: [1]}",
    "openapi: 3.0.1\nx-amazon-apigateway-documentation: {documentationParts: [{location: {type: NO}, properties: {a: 1}}]}",
])  # fmt: skip
def test_no_document_breaks_the_import(api, text):
    _refused("BadRequestException", api.gateway.import_documentation_parts, restApiId=api.id, body=text.encode())


@pytest.mark.parametrize(("count", "size"), [(2001, 1), (80, 60_000)])
def test_documentation_is_bounded(api, count, size):
    parts = [{"location": {"type": "MODEL", "name": f"M{n}"}, "properties": {"a": "x" * size}} for n in range(count)]
    body = json.dumps({"openapi": "3.0.1", "x-amazon-apigateway-documentation": {"documentationParts": parts}}).encode()
    _refused("LimitExceededException", api.gateway.import_documentation_parts, restApiId=api.id, body=body)
    assert api.gateway.get_documentation_parts(restApiId=api.id)["items"] == []


def test_an_exported_documentation_can_be_imported_again(api, node):
    api.mock("GET", "/pets")
    _part(api, {"summary": "s"}, type="METHOD", path="/pets", method="GET")
    api.deploy()
    api.gateway.create_documentation_version(restApiId=api.id, documentationVersion="a", stageName="prod")
    exported = api.gateway.get_export(
        restApiId=api.id, stageName="prod", exportType="oas30", accepts="application/yaml", parameters={"extensions": "apigateway"}
    )["body"].read()
    assert yaml.safe_load(exported)["paths"]["/pets"]["get"]["summary"] == "s"
    again = node.client("apigateway").import_rest_api(body=exported)["id"]
    assert _shown(api.gateway, again)["METHOD"] == {"summary": "s"}


@given(st.lists(st.sampled_from(["/", "/a", "/a/b", "/ab", "/a/b/c"]), unique=True))
def test_a_parameter_inherits_from_the_nearest_path_above(paths):
    parts = [
        {"location": {"type": "QUERY_PARAMETER", "path": path, "method": "*", "name": "q"}, "properties": json.dumps({"of": path})}
        for path in paths
    ]
    above = [path for path in ("/a/b", "/a", "/") if path in paths]
    assert Documentation(parts).find("QUERY_PARAMETER", "/a/b", "GET", "*", "q") == ({"of": above[0]} if above else {})
