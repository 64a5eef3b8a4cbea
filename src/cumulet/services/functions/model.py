"""What the service keeps: functions, their versions and aliases, and the rules of publishing. Pure: no I/O, no clock."""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.errors import InvalidParameterValue
from cumulet.services.functions.names import LATEST, Place


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes as AWS documents them; an operator may raise or lower them."""

    zipped_bytes: int = 52_428_800
    unzipped_bytes: int = 262_144_000
    total_code_bytes: int = 80_530_636_800
    functions: int = 100_000
    account_concurrency: int = 1000
    sync_payload_bytes: int = 6_291_456
    async_payload_bytes: int = 1_048_576

    @property
    def minimum_unreserved(self) -> int:
        """What reservations must leave to the functions without one."""
        return min(100, self.account_concurrency // 10)


LimitsOf = Callable[[str], Limits]
"""account -> its limits."""


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer version in a function's configuration, with what running it needs: it outlives the layer's deletion. `sha256` is ""
    for AWS's Lambda Web Adapter, whose work the runtimes do themselves."""

    arn: str
    sha256: str
    code_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True, slots=True)
class Code:
    """An archive in the blob store."""

    sha256: str
    code_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a caller can set on a version beside its code."""

    runtime: str
    handler: str
    role: str
    description: str = ""
    timeout_s: int = 3
    memory_mb: int = 128
    ephemeral_mb: int = 512
    environment: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "x86_64"
    layers: Sequence[LayerUse] = ()
    tracing: str = "PassThrough"
    dead_letter_arn: str | None = None
    kms_key_arn: str | None = None
    vpc: Mapping[str, Any] | None = None
    log_format: str = "Text"
    log_group: str = ""
    application_log_level: str = "INFO"
    system_log_level: str = "INFO"
    snap_start: str = "None"


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """$LATEST or a published version. `config_id` is a hash of code and configuration: equal ids run the same."""

    name: str
    version: str
    function_id: str
    revision_id: str
    modified_ms: int
    code: Code
    configuration: Configuration

    @property
    def config_id(self) -> str:
        return hashlib.sha256(orjson.dumps([self.code, self.configuration], option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    def changed(self, configuration: Configuration, code: Code, *, revision_id: str, now_ms: int) -> "FunctionVersion":
        return replace(self, configuration=configuration, code=code, revision_id=revision_id, modified_ms=now_ms)

    def published(self, number: int, description: str | None, *, revision_id: str, now_ms: int) -> "FunctionVersion":
        """This state as a version that never changes again."""
        configuration = self.configuration
        if description is not None:
            configuration = replace(configuration, description=description)
        return replace(self, version=str(number), configuration=configuration, revision_id=revision_id, modified_ms=now_ms)

    def runs_like(self, other: "FunctionVersion") -> bool:
        """Whether nothing but a description tells the two apart: then there is nothing new to publish."""
        mine, theirs = (replace(each.configuration, description="") for each in (self, other))
        return self.code == other.code and orjson.dumps(mine, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            theirs, option=orjson.OPT_SORT_KEYS
        )

    def spec(self, place: Place, *, reserved_concurrency: int | None, provisioned_concurrency: int = 0) -> FunctionSpec:
        configuration = self.configuration
        return FunctionSpec(
            account=place.account,
            region=place.region,
            name=self.name,
            function_id=self.function_id,
            version=self.version,
            config_id=self.config_id,
            runtime=configuration.runtime,
            handler=configuration.handler,
            code=self.code.sha256,
            role=configuration.role,
            layers=tuple(layer.sha256 for layer in configuration.layers if layer.sha256),
            has_web_adapter=any(not layer.sha256 for layer in configuration.layers),
            architecture=configuration.architecture,
            memory_mb=configuration.memory_mb,
            timeout_s=configuration.timeout_s,
            ephemeral_mb=configuration.ephemeral_mb,
            environment=dict(configuration.environment),
            log_group=configuration.log_group or f"/aws/lambda/{self.name}",
            log_format="JSON" if configuration.log_format == "JSON" else "Text",
            application_log_level=configuration.application_log_level,
            system_log_level=configuration.system_log_level,
            tracing=configuration.tracing,
            reserved_concurrency=reserved_concurrency,
            provisioned_concurrency=provisioned_concurrency,
            is_snap_started=configuration.snap_start == "PublishedVersions" and self.version != LATEST,
        )


@dataclass(frozen=True, slots=True)
class Function:
    """What all versions of a function share. `last_version` is never reused, also not after the version's deletion.

    `runtime_management` is {version: {"UpdateRuntimeOn", "RuntimeVersionArn"}} for versions that were told.
    """

    name: str
    function_id: str
    last_version: int = 0
    reserved_concurrency: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    recursive_loop: str = "Terminate"
    runtime_management: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version, or for two with weights: `weights` is {other version: share of the calls}."""

    function: str
    name: str
    version: str
    description: str
    revision_id: str
    weights: Mapping[str, float] = field(default_factory=dict)

    def choose(self, dice: random.Random) -> str:
        """The version that serves one call."""
        roll = dice.random()
        for version, weight in self.weights.items():
            if roll < weight:
                return version
            roll -= weight
        return self.version


def routing_weights(primary: str, routing: Mapping[str, Any] | None) -> dict[str, float]:
    """The weights of a wire RoutingConfig, judged. Raises InvalidParameterValue."""
    weights: dict[str, float] = dict((routing or {}).get("AdditionalVersionWeights") or {})
    if len(weights) > 1:
        raise InvalidParameterValue(f"Number of items in AdditionalVersionWeights cannot be greater than 1. Actual: {len(weights)}")
    for version, weight in weights.items():
        if primary == LATEST or version == LATEST:
            raise InvalidParameterValue("$LATEST is not supported for an alias pointing to more than 1 version")
        if version == primary:
            raise InvalidParameterValue(
                f"Invalid function version {version}. Function version {version} is already included in routing configuration."
            )
        if not 0.0 <= weight <= 1.0:
            raise InvalidParameterValue(f"The weight of version {version} must lie between 0.0 and 1.0")
    return weights


def lambda_time(ms: int) -> str:
    """Unix milliseconds as Lambda's own fields spell them: 2026-01-01T00:00:00.000+0000."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}+0000"


def stamped_time(ms: int) -> str:
    """The same for function URLs: 2026-01-01T00:00:00.000Z."""
    return lambda_time(ms).replace("+0000", "Z")
