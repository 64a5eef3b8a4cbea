"""Temporary credentials that the node gives in the name of roles. The role need not exist; its id is then made of its ARN."""

import hashlib

from cumulet.runtimes.contract import FunctionSpec
from cumulet.server.ground import Ground

_FUNCTION_SESSION_S = 7 * 24 * 3600
_INTEGRATION_SESSION_S = 900


def of_function(ground: Ground, spec: FunctionSpec) -> tuple[str, str, str]:
    """A function's own: (key id, secret, session token)."""
    return _issued(ground, spec.role, spec.name, _FUNCTION_SESSION_S)


def of_integration(ground: Ground, role: str) -> tuple[str, str, str]:
    """Of the role that an API's integration names."""
    return _issued(ground, role, "BackplaneAssumeRoleSession", _INTEGRATION_SESSION_S)


def _issued(ground: Ground, role: str, session: str, duration_s: int) -> tuple[str, str, str]:
    role_id = "AROA" + hashlib.sha256(role.encode()).hexdigest()[:17].upper()
    issued = ground.keys.sessions.issue_for_role(role, session, role_id, duration_s=duration_s, now_ms=ground.clock.now_ms())
    return issued.credential.access_key_id, issued.credential.secret_key, issued.session_token
