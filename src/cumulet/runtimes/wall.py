"""Whether this machine gives the wall that its node was told to keep: asked before anything starts."""

from cumulet.core.settings import WallSettings
from cumulet.sandbox import host


class WallRefused(Exception):
    """The node must not start, and the message says why."""


def check(wall: WallSettings) -> str:
    """A warning, "" when the wall is whole. Raises WallRefused."""
    if wall.isolation != "process":
        raise WallRefused(f"--isolation {wall.isolation} is not supported: this version isolates by processes only")
    findings = host.survey_wall()
    missing = [finding for finding in findings if finding.level == "missing"]
    if missing:
        raise WallRefused("this machine gives no wall: " + "; ".join(f"{each.name}: {each.text}" for each in missing))
    weak = [f"{each.name}: {each.text}" for each in findings if each.level == "weak" and each.name in host.NEEDED]
    if weak and not wall.is_weak_allowed:
        raise WallRefused("the wall would be weak: " + "; ".join(weak) + ". To start all the same: --allow-weak-wall")
    return "; ".join(weak)
