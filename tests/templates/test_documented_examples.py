"""The examples of API Gateway's documentation give what the documentation shows.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-variable-examples.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/example-photos.html
"""

import json

import pytest

from cumulet.gateway.templates import compile_template
from cumulet.gateway.templates.values import Overrides
from cumulet.gateway.templates.variables import input_of, quiet, util

PHOTOS = {
    "photos": {
        "page": 1,
        "pages": "1234",
        "perpage": 100,
        "total": "123398",
        "photo": [
            {
                "id": "12345678901",
                "owner": "23456789@A12",
                "photographer_first_name": "Saanvi",
                "photographer_last_name": "Sarkar",
                "secret": "abc123d456",
                "server": "1234",
                "farm": 1,
                "title": "Sample photo 1",
                "ispublic": True,
                "isfriend": False,
                "isfamily": False,
            },
            {
                "id": "23456789012",
                "owner": "34567890@B23",
                "photographer_first_name": "Richard",
                "photographer_last_name": "Roe",
                "secret": "bcd234e567",
                "server": "2345",
                "farm": 2,
                "title": "Sample photo 2",
                "ispublic": True,
                "isfriend": False,
                "isfamily": False,
            },
        ],
    }
}


def render(template, body="", *, path=None, query=None, header=None, context=None, stage=None):
    variables = {
        "input": input_of(body, path or {}, query or {}, header or {}),
        "util": util(),
        "context": quiet(context or {}),
        "stageVariables": quiet(stage or {}),
    }
    return compile_template(template).render(variables)


def test_the_photo_album():
    template = """#set($inputRoot = $input.path('$'))
{
  "photos": [
#foreach($elem in $inputRoot.photos.photo)
    {
      "id": "$elem.id",
      "photographedBy": "$elem.photographer_first_name $elem.photographer_last_name",
      "title": "$elem.title",
      "ispublic": $elem.ispublic,
      "isfriend": $elem.isfriend,
      "isfamily": $elem.isfamily
    }#if($foreach.hasNext),#end

#end
  ]
}"""
    shown = {"ispublic": True, "isfriend": False, "isfamily": False}
    assert json.loads(render(template, json.dumps(PHOTOS))) == {
        "photos": [
            {"id": "12345678901", "photographedBy": "Saanvi Sarkar", "title": "Sample photo 1", **shown},
            {"id": "23456789012", "photographedBy": "Richard Roe", "title": "Sample photo 2", **shown},
        ]
    }


def test_context_variables():
    context = {
        "stage": "prod",
        "requestId": "abcdefg-000",
        "apiId": "abcd1234",
        "resourcePath": "/",
        "resourceId": "efg567",
        "httpMethod": "GET",
        "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl/7.84.0", "apiKey": "MyTestKey"},
    }
    template = """{
    "stage" : "$context.stage",
    "request_id" : "$context.requestId",
    "source_ip" : "$context.identity.sourceIp",
    "user-agent" : "$context.identity.userAgent",
    "account_id" : "$context.identity.accountId",
    "api_key" : "$context.identity.apiKey"
}"""
    assert json.loads(render(template, context=context)) == {
        "stage": "prod",
        "request_id": "abcdefg-000",
        "source_ip": "192.0.2.1",
        "user-agent": "curl/7.84.0",
        "account_id": "",
        "api_key": "MyTestKey",
    }


def test_all_parameters():
    template = """#set($allParams = $input.params())
{
  "params" : {
    #foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
    "$type" : {
      #foreach($paramName in $params.keySet())
      "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
      #if($foreach.hasNext),#end
      #end
    }
    #if($foreach.hasNext),#end
    #end
  }
}"""
    given = {"path": {"id": "1"}, "query": {"key": "value", "q": 'say "hi"'}, "header": {"Accept": "*/*"}}
    found = json.loads(render(template, **given))
    assert found == {"params": {"path": {"id": "1"}, "querystring": given["query"], "header": {"Accept": "*/*"}}}


def test_a_part_of_the_payload_and_all_of_it():
    body = '{"name": "Rover", "type": {"kind": "dog"}, "list": [1, "two", null]}'
    template = '{"name": "$input.params(\'name\')", "body": $input.json(\'$.type\'), "all": $input.json(\'$\')}'
    assert json.loads(render(template, body, query={"name": "q"})) == {
        "name": "q",
        "body": {"kind": "dog"},
        "all": json.loads(body),
    }


def test_json_path_to_a_list():
    body = '{"pets": [{"id": 1}, {"id": 2}, {"id": 3}]}'
    template = "$input.json('$.pets[*].id') $input.path('$.pets[1].id') $input.path('$.pets').size() $input.path('$.none')."
    assert render(template, body) == "[1,2,3] 2 3 ."


def test_escaping_json_in_a_string():
    template = '{"input": "$util.escapeJavaScript($input.json(\'$\')).replaceAll("\\\\\'","\'")"}'
    body = '{"a": "it\'s"}'
    assert json.loads(json.loads(render(template, body))["input"].replace("\\'", "'")) == {"a": "it's"}


def test_encodings():
    template = (
        '$util.urlEncode("a b&c/é") $util.urlDecode("a+b%26c") $util.base64Encode("été") $util.base64Decode("w6l0w6k=") '
        '$util.parseJson(\'{"errorMessage": {"key1": "var1", "key2": {"arr": [1,2,3]}}}\').errorMessage.key2.arr[0]'
    )
    assert render(template) == "a+b%26c%2F%C3%A9 a b&c w6l0w6k= été 1"


def test_overriding_the_request_and_the_response():
    override = Overrides(header=Overrides(), path=Overrides(), querystring=Overrides())
    template = """#set($context.requestOverride.header.header1 = "$input.params('header1Override')")
#set($context.requestOverride.path.myPath = 'x')
#set($context.requestOverride.header.multivalueheader = "$input.params('a'),$input.params('b')")
"""
    context = quiet({})
    context["requestOverride"] = override
    variables = {"input": input_of("", {}, {"header1Override": "h", "a": "1", "b": "2"}, {}), "context": context}
    assert compile_template(template).render(variables) == ""
    assert override == {"header": {"header1": "h", "multivalueheader": "1,2"}, "path": {"myPath": "x"}, "querystring": {}}


def test_stage_variables():
    assert (
        render("$stageVariables.name ${stageVariables['other']} [$stageVariables.none]", stage={"name": "a", "other": "b"})
        == "a b []"
    )


def test_a_queue_message_as_a_form():
    body = '{"order": 5}'
    assert render("Action=SendMessage&MessageBody=$util.urlEncode($input.body)", body) == (
        "Action=SendMessage&MessageBody=%7B%22order%22%3A+5%7D"
    )


def test_an_item_for_a_table():
    template = """#set($inputRoot = $input.path('$'))
{ "TableName": "Comments", "Item": {
  "commentId": {"S": "$context.requestId"},
  "pageId": {"S": "$input.path('$.pageId')"},
  "tags": {"L": [#foreach($tag in $inputRoot.tags){"S": "$tag"}#if($foreach.hasNext),#end#end]}
} }"""
    item = json.loads(render(template, '{"pageId": "p", "tags": ["a", "b"]}', context={"requestId": "r"}))["Item"]
    assert item == {"commentId": {"S": "r"}, "pageId": {"S": "p"}, "tags": {"L": [{"S": "a"}, {"S": "b"}]}}


@pytest.mark.parametrize("body", ["", "no json", "[1", '"text"'])
def test_bodies_that_are_no_objects(body):
    assert render("$input.path('$.a')|$input.json('$.a')", body) == '|""'
