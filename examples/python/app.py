def handler(event, context):
    print("hello from Python, request", context.aws_request_id)
    return {"language": "Python", "event": event}
