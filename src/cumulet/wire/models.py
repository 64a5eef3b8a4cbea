"""The service models that botocore ships, read once each. They say what every operation looks like; nothing here is Cumulet's.

Read as data: botocore's own reading of them brings its whole client along, for a tenth of a second of every start. Names are as
botocore's, so that whoever knows those knows these.
"""

import functools
import gzip
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

_ON_THE_WIRE = (
    "flattened",
    "location",
    "payload",
    "resultWrapper",
    "timestampFormat",
    "xmlNamespace",
    "xmlAttribute",
    "eventstream",
    "eventpayload",
    "jsonvalue",
)
"""What of a shape concerns its spelling; `locationName` is another, called `name` here."""
_DEMANDS = ("required", "min", "max", "pattern", "enum", "error", "sparse")

_PLAIN_REFERENCE = {"shape", "documentation", "deprecated", "deprecatedMessage", "deprecatedSince"}


class UnknownServiceError(Exception):
    """No model has that name."""


class Shape:
    """A type of values: `serialization` says how it is spelled, `metadata` what is demanded of it."""

    def __init__(self, name: str, model: Mapping[str, Any], shapes: "Shapes") -> None:
        self.name = name
        self.type_name: str = model["type"]
        self.is_document_type = bool(model.get("document"))
        self.is_tagged_union = bool(model.get("union"))
        self.serialization = {key: model[key] for key in _ON_THE_WIRE if key in model}
        if "locationName" in model:
            self.serialization["name"] = model["locationName"]
        self.metadata = {key: model[key] for key in _DEMANDS if key in model}
        self.required_members: list[str] = model.get("required", [])
        self._model = model
        self._shapes = shapes

    @functools.cached_property
    def members(self) -> dict[str, "Shape"]:
        """Of a structure."""
        return {name: self._shapes.of(reference) for name, reference in self._model.get("members", {}).items()}

    @functools.cached_property
    def member(self) -> "Shape":
        """Of a list."""
        return self._shapes.of(self._model["member"])

    @functools.cached_property
    def key(self) -> "Shape":
        """Of a map."""
        return self._shapes.of(self._model["key"])

    @functools.cached_property
    def value(self) -> "Shape":
        """Of a map."""
        return self._shapes.of(self._model["value"])


class Shapes:
    """The shapes of one service, made when they are first asked for."""

    def __init__(self, models: Mapping[str, Mapping[str, Any]]) -> None:
        self.models = models
        self._made: dict[str, Shape] = {}

    def named(self, name: str) -> Shape:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Shape(name, self.models[name], self)
        return made

    def of(self, reference: Mapping[str, Any]) -> Shape:
        """The shape that a member refers to, with what the member says of its spelling."""
        name: str = reference["shape"]
        if reference.keys() <= _PLAIN_REFERENCE:
            return self.named(name)
        return Shape(name, {**self.models[name], **reference}, self)


class OperationModel:
    """One operation. `http` is its method, path and status."""

    def __init__(self, name: str, model: Mapping[str, Any], service: "ServiceModel") -> None:
        self.name = name
        self.http: Mapping[str, Any] = model.get("http", {})
        self.metadata = service.metadata
        self.input_shape = service.shapes.of(model["input"]) if "input" in model else None
        self.output_shape = service.shapes.of(model["output"]) if "output" in model else None


class ServiceModel:
    """One service. `metadata` holds its protocols and names."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.service_name = name
        self.metadata: Mapping[str, Any] = document["metadata"]
        self.shapes = Shapes(document.get("shapes", {}))
        self._operations: Mapping[str, Mapping[str, Any]] = document["operations"]

    @property
    def operation_names(self) -> list[str]:
        return list(self._operations)

    def operation_model(self, name: str) -> OperationModel:
        return OperationModel(name, self._operations[name], self)

    def shape_for(self, name: str) -> Shape:
        return self.shapes.named(name)

    def has_shape(self, name: str) -> bool:
        return name in self.shapes.models

    @property
    def error_shapes(self) -> list[Shape]:
        return [self.shapes.named(name) for name, model in self.shapes.models.items() if model.get("exception")]


@functools.cache
def load_model(service: str) -> ServiceModel:
    """The newest model of a service by botocore's name for it: 2 ms. Raises UnknownServiceError."""
    versions = sorted((_folder() / service).glob("*/service-2.json.gz")) if service.replace("-", "").isalnum() else []
    if not versions:
        raise UnknownServiceError(service)
    return ServiceModel(service, orjson.loads(gzip.decompress(versions[-1].read_bytes())))


@functools.cache
def _folder() -> Path:
    """Where botocore keeps its models, found without importing it."""
    spec = importlib.util.find_spec("botocore")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"
