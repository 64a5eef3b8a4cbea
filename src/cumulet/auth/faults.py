"""What can be wrong with a signature, in the words of the protocols."""

from cumulet.core.errors import Fault


class MissingAuthentication(Fault):
    code = "MissingAuthenticationTokenException"
    query_code = "MissingAuthenticationToken"
    status = 403


class IncompleteSignature(Fault):
    """The signature is there, and cannot be read."""

    code = "IncompleteSignatureException"
    query_code = "IncompleteSignature"
    status = 400


class UnknownKey(Fault):
    code = "UnrecognizedClientException"
    query_code = "InvalidClientTokenId"
    status = 403


class InvalidSignature(Fault):
    """The signature is not that of this request, or not of this time."""

    code = "InvalidSignatureException"
    query_code = "SignatureDoesNotMatch"
    status = 403


class ExpiredToken(Fault):
    """Temporary credentials, or a presigned URL, past their time."""

    code = "ExpiredTokenException"
    query_code = "ExpiredToken"
    status = 403
