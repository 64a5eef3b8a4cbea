"""IAM's records and rules. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from cumulet.services.identity.errors import LimitExceeded, MalformedPolicyDocument

MAX_POLICY_VERSIONS = 5
MAX_KEYS_PER_USER = 2
AWS_MANAGED = "arn:aws:iam::aws:policy/"


@dataclass(frozen=True, slots=True)
class Entity:
    """A role or a user. `policies` are inline documents by name, `attached` ARNs of managed policies."""

    kind: str
    name: str
    id: str
    path: str
    created_s: float
    tags: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    trust: str = ""
    description: str = ""
    max_session_s: int = 3600
    boundary: str = ""

    def arn(self, account: str) -> str:
        return f"arn:aws:iam::{account}:{self.kind}{self.path}{self.name}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A managed policy. `versions` are (id, document, created in Unix seconds), oldest first."""

    name: str
    id: str
    path: str
    created_s: float
    updated_s: float
    versions: list[tuple[str, str, float]]
    default: str = "v1"
    next_version: int = 2
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def arn(self, account: str) -> str:
        return f"arn:aws:iam::{account}:policy{self.path}{self.name}"


@dataclass(frozen=True, slots=True)
class Profile:
    """An instance profile: kept for tools that make one; nothing here runs on instances."""

    name: str
    id: str
    path: str
    created_s: float
    roles: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def arn(self, account: str) -> str:
        return f"arn:aws:iam::{account}:instance-profile{self.path}{self.name}"


def checked_document(text: str) -> str:
    """A policy document as it was sent. Raises MalformedPolicyDocument."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedPolicyDocument("Syntax errors in policy.") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list):
        raise MalformedPolicyDocument("Syntax errors in policy.")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise MalformedPolicyDocument("Syntax errors in policy.")
        if not ("Action" in statement or "NotAction" in statement):
            raise MalformedPolicyDocument("Policy statement must contain actions.")
    return text


def shown_document(text: str) -> str:
    """Policy documents are shown percent-encoded, as RFC 3986 says."""
    return quote(text, safe="-_.~")


def tags_of(req: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in req.get("Tags") or ()}


def shown_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > 50:
        raise LimitExceeded("The number of tags has reached the maximum limit.")
    return tags
