"""What a node does not have, it says in every client's own protocol."""

import pytest
from botocore.exceptions import ClientError


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("cloudformation", "list_stacks"),
        ("ec2", "describe_instances"),
        ("s3", "list_buckets"),
        ("route53", "list_hosted_zones"),
        ("cloudwatch", "list_metrics"),
        ("sns", "list_topics"),
        ("kms", "list_keys"),
        ("scheduler", "list_schedules"),
    ],
)
def test_a_service_that_is_not_here_is_named_to_its_client(node, service, operation):
    with pytest.raises(ClientError) as refused:
        getattr(node.client(service), operation)()
    error = refused.value.response["Error"]
    assert error["Code"] == "NotImplemented" and error["Message"].startswith("This node has no service ")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
