"""Refusals of requests whose service this node does not have: in the protocol that the request itself speaks, so that every tool
can print what is missing instead of failing to read it.
"""

import orjson

from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.wire import protocols, xml
from cumulet.wire.xml import escape

_XML_SERVICES = frozenset(("s3", "s3express", "s3-outposts", "route53", "cloudfront"))
_FORM = "application/x-www-form-urlencoded"


def refusal(request: Request, service: str, fault: Fault, request_id: str) -> Response:
    """The fault as XML for the query protocol and for services that speak XML, as CBOR for who asks so, else as JSON."""
    headers = [("x-amzn-RequestId", request_id), *fault.headers.items()]
    if request.header("smithy-protocol") == "rpc-v2-cbor":
        headers += [("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")]
        return Response(fault.status, headers, protocols.dump_cbor(_document(fault)))
    if service in _XML_SERVICES or request.header("content-type").startswith(_FORM):
        headers.append(("Content-Type", "application/xml"))
        return Response(fault.status, headers, _xml(service, fault, request_id).encode())
    return plain_refusal(fault, request_id)


def plain_refusal(fault: Fault, request_id: str) -> Response:
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", fault.code)]
    return Response(fault.status, [*headers, *fault.headers.items()], orjson.dumps(_document(fault)))


def _document(fault: Fault) -> dict[str, object]:
    return {"__type": fault.code, "message": fault.message, **fault.fields}


def _xml(service: str, fault: Fault, request_id: str) -> str:
    told = f"<Code>{escape(fault.code)}</Code><Message>{escape(fault.message)}</Message>"
    if service.startswith("s3"):
        return f"{xml.HEAD}<Error>{told}<RequestId>{request_id}</RequestId></Error>"
    kind = "Sender" if fault.status < 500 else "Receiver"
    return f"{xml.HEAD}<ErrorResponse><Error><Type>{kind}</Type>{told}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
