"""The service models that botocore ships, read once each. They say what every operation looks like; nothing here is Cumulet's."""

import functools

from botocore.loaders import Loader
from botocore.model import ServiceModel


@functools.cache
def load_model(service: str) -> ServiceModel:
    """The newest model of a service by botocore's name for it. Raises botocore's UnknownServiceError."""
    return ServiceModel(_loader().load_service_model(service, "service-2"), service)


@functools.cache
def _loader() -> Loader:
    return Loader()
