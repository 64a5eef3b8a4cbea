"""The AWS wire protocols, compiled once per operation from botocore's service models."""
