variable "name" { type = string }
variable "function" { type = string }
variable "is_changed" {
  type    = bool
  default = false
}

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

resource "aws_apigatewayv2_api" "http" {
  name          = var.name
  protocol_type = "HTTP"
  description   = var.is_changed ? "changed" : "first"
  version       = "1"

  dynamic "cors_configuration" {
    for_each = var.is_changed ? [] : [1]
    content {
      allow_origins = ["https://a.example"]
      allow_methods = ["GET", "POST"]
      allow_headers = ["x-a"]
      max_age       = 60
    }
  }
  tags = { owner = "me" }
}

resource "aws_apigatewayv2_integration" "function" {
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.function
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_integration" "server" {
  api_id             = aws_apigatewayv2_api.http.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = "http://127.0.0.1:1/"

  request_parameters = var.is_changed ? { "overwrite:header.x-b" = "2" } : { "overwrite:header.x-a" = "1", "append:header.x-b" = "2" }
  response_parameters {
    status_code = 500
    mappings    = { "overwrite:statuscode" = "502" }
  }
  dynamic "response_parameters" {
    for_each = var.is_changed ? [] : [1]
    content {
      status_code = 404
      mappings    = { "append:header.x-c" = "3" }
    }
  }
}

resource "aws_apigatewayv2_integration" "queue" {
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_subtype    = "SQS-SendMessage"
  credentials_arn        = "arn:aws:iam::000000000000:role/api"
  payload_format_version = "1.0"
  request_parameters     = { QueueUrl = "$request.header.queue", MessageBody = "$request.body.text" }
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  api_id           = aws_apigatewayv2_api.http.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]
  jwt_configuration {
    issuer   = "https://issuer.example"
    audience = var.is_changed ? ["c"] : ["a", "b"]
  }
}

resource "aws_apigatewayv2_authorizer" "function" {
  api_id                            = aws_apigatewayv2_api.http.id
  name                              = "function"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${var.function}/invocations"
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  authorizer_result_ttl_in_seconds  = 60
  identity_sources                  = ["$request.header.Authorization"]
}

resource "aws_apigatewayv2_route" "pet" {
  api_id         = aws_apigatewayv2_api.http.id
  route_key      = "GET /pets/{id}"
  operation_name = "getPet"
  target         = "integrations/${aws_apigatewayv2_integration.function.id}"
}

resource "aws_apigatewayv2_route" "admin" {
  api_id               = aws_apigatewayv2_api.http.id
  route_key            = "ANY /admin"
  target               = "integrations/${aws_apigatewayv2_integration.function.id}"
  authorization_type   = "JWT"
  authorizer_id        = aws_apigatewayv2_authorizer.jwt.id
  authorization_scopes = var.is_changed ? ["x"] : ["x", "y"]
}

resource "aws_apigatewayv2_route" "limited" {
  api_id    = aws_apigatewayv2_api.http.id
  route_key = "GET /limited"
  target    = "integrations/${aws_apigatewayv2_integration.server.id}"
}

resource "aws_apigatewayv2_route" "custom" {
  api_id             = aws_apigatewayv2_api.http.id
  route_key          = "POST /custom"
  target             = "integrations/${aws_apigatewayv2_integration.queue.id}"
  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.function.id
}

resource "aws_cloudwatch_log_group" "api" { name = "/api/${var.name}" }

resource "aws_apigatewayv2_stage" "v1" {
  api_id          = aws_apigatewayv2_api.http.id
  name            = "v1"
  auto_deploy     = true
  description     = "one"
  stage_variables = var.is_changed ? { a = "changed" } : { a = "1", b = "2" }

  default_route_settings {
    throttling_burst_limit = 1000
    throttling_rate_limit  = 1000
  }
  route_settings {
    route_key              = aws_apigatewayv2_route.limited.route_key
    throttling_burst_limit = 0
    throttling_rate_limit  = 0
  }
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format          = jsonencode({ id = "$context.requestId", status = "$context.status" })
  }
  tags = { stage = "one" }
}

resource "aws_apigatewayv2_deployment" "now" {
  api_id      = aws_apigatewayv2_api.http.id
  description = "by hand"
  depends_on  = [aws_apigatewayv2_route.pet]
}

resource "aws_apigatewayv2_domain_name" "shop" {
  domain_name = "${var.name}.example.com"
  domain_name_configuration {
    certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/one"
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "shop" {
  api_id          = aws_apigatewayv2_api.http.id
  domain_name     = aws_apigatewayv2_domain_name.shop.id
  stage           = aws_apigatewayv2_stage.v1.id
  api_mapping_key = "shop"
}

resource "aws_apigatewayv2_api" "imported" {
  name          = "${var.name}-imported"
  protocol_type = "HTTP"
  version       = "1"
  body = jsonencode({
    openapi = "3.0.1"
    info    = { title = "${var.name}-imported", version = "1" }
    paths = { "/x" = { get = { x-amazon-apigateway-integration = {
      type = "HTTP_PROXY", httpMethod = "GET", uri = "https://example.com", payloadFormatVersion = "1.0"
    } } } }
  })
}

resource "aws_apigatewayv2_api" "chat" {
  name                       = "${var.name}-chat"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
}

resource "aws_apigatewayv2_integration" "chat" {
  api_id                        = aws_apigatewayv2_api.chat.id
  integration_type              = "MOCK"
  request_templates             = { "200" = jsonencode({ statusCode = 200 }) }
  template_selection_expression = "200"
}

resource "aws_apigatewayv2_integration_response" "chat" {
  api_id                   = aws_apigatewayv2_api.chat.id
  integration_id           = aws_apigatewayv2_integration.chat.id
  integration_response_key = "/200/"
  response_templates       = { "$default" = "{}" }
}

resource "aws_apigatewayv2_model" "chat" {
  api_id       = aws_apigatewayv2_api.chat.id
  content_type = "application/json"
  name         = "Message"
  schema       = jsonencode({ type = "object" })
}

resource "aws_apigatewayv2_route" "chat" {
  api_id                     = aws_apigatewayv2_api.chat.id
  route_key                  = "$connect"
  target                     = "integrations/${aws_apigatewayv2_integration.chat.id}"
  model_selection_expression = "action"
  request_models             = { action = aws_apigatewayv2_model.chat.name }

  request_parameter {
    request_parameter_key = "route.request.header.authorization"
    required              = true
  }
}

resource "aws_apigatewayv2_route_response" "chat" {
  api_id             = aws_apigatewayv2_api.chat.id
  route_id           = aws_apigatewayv2_route.chat.id
  route_response_key = "$default"
}

resource "aws_apigatewayv2_deployment" "chat" {
  api_id     = aws_apigatewayv2_api.chat.id
  depends_on = [aws_apigatewayv2_route.chat]
}

resource "aws_apigatewayv2_stage" "chat" {
  api_id        = aws_apigatewayv2_api.chat.id
  name          = "live"
  deployment_id = aws_apigatewayv2_deployment.chat.id
}

output "http" { value = aws_apigatewayv2_api.http.id }
