"""As its documentation shows it: logger, metrics and parser together."""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import BaseModel, event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="orders")
metrics = Metrics(namespace="Shop", service="orders")


class Order(BaseModel):
    id: int
    items: list[str]


@logger.inject_lambda_context(log_event=True)
@metrics.log_metrics(capture_cold_start_metric=True)
@event_parser(model=Order)
def handler(event: Order, context: LambdaContext) -> dict:
    logger.info("order received", extra={"order_id": event.id})
    metrics.add_metric(name="Items", unit=MetricUnit.Count, value=len(event.items))
    return {"id": event.id, "count": len(event.items), "request": context.aws_request_id}
