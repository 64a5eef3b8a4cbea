"""Layer versions. Pure."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cumulet.services.functions.model import lambda_time
from cumulet.services.functions.names import Place

_ADAPTER_ACCOUNT = "753240598075"
_ADAPTER_LAYERS = frozenset(("LambdaAdapterLayerX86", "LambdaAdapterLayerArm64"))


def is_web_adapter(account: str, name: str) -> bool:
    """Whether a layer is AWS's Lambda Web Adapter, as its documentation names it."""
    return account == _ADAPTER_ACCOUNT and name in _ADAPTER_LAYERS


@dataclass(frozen=True, slots=True)
class LayerVersion:
    name: str
    version: int
    description: str
    created_ms: int
    sha256: str
    code_bytes: int
    unzipped_bytes: int
    runtimes: Sequence[str] = ()
    architectures: Sequence[str] = ()
    license: str | None = None

    def suits(self, runtime: str | None, architecture: str | None) -> bool:
        """Whether it says of itself that it fits; one that names nothing fits no filter, as AWS lists them."""
        return (runtime is None or runtime in self.runtimes) and (architecture is None or architecture in self.architectures)

    def summary(self, place: Place) -> dict[str, Any]:
        """The wire's LayerVersionsListItem."""
        found: dict[str, Any] = {
            "LayerVersionArn": place.layer_arn(self.name, self.version),
            "Version": self.version,
            "Description": self.description,
            "CreatedDate": lambda_time(self.created_ms),
        }
        if self.runtimes:
            found["CompatibleRuntimes"] = list(self.runtimes)
        if self.architectures:
            found["CompatibleArchitectures"] = list(self.architectures)
        if self.license:
            found["LicenseInfo"] = self.license
        return found

    def description_with(self, place: Place, location: str) -> dict[str, Any]:
        """The wire's answer to publish and get."""
        return {
            **self.summary(place),
            "LayerArn": place.layer_arn(self.name),
            "Content": {"Location": location, "CodeSha256": base64_hash(self.sha256), "CodeSize": self.code_bytes},
        }


def base64_hash(sha256: str) -> str:
    """A hexadecimal hash as Lambda writes CodeSha256."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()
