"""Tables: a serverless database that speaks DynamoDB."""
