def handler(event:, context:)
  puts "hello from Ruby, request #{context.aws_request_id}"
  { language: "Ruby", event: event }
end
