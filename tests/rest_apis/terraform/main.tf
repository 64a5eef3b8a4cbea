terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "name" { type = string }

provider "aws" { region = "us-east-1" }

resource "aws_api_gateway_rest_api" "pets" {
  name               = var.name
  description        = "made by Terraform"
  binary_media_types = ["image/png"]
  endpoint_configuration { types = ["REGIONAL"] }
  tags = { team = "clouds" }
}

resource "aws_api_gateway_resource" "pet" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  parent_id   = aws_api_gateway_rest_api.pets.root_resource_id
  path_part   = "{id}"
}

resource "aws_api_gateway_model" "pet" {
  rest_api_id  = aws_api_gateway_rest_api.pets.id
  name         = "Pet"
  content_type = "application/json"
  schema       = jsonencode({ type = "object", required = ["name"] })
}

resource "aws_api_gateway_request_validator" "all" {
  rest_api_id                 = aws_api_gateway_rest_api.pets.id
  name                        = "all"
  validate_request_body       = true
  validate_request_parameters = true
}

resource "aws_api_gateway_method" "put" {
  rest_api_id          = aws_api_gateway_rest_api.pets.id
  resource_id          = aws_api_gateway_resource.pet.id
  http_method          = "PUT"
  authorization        = "NONE"
  api_key_required     = true
  request_validator_id = aws_api_gateway_request_validator.all.id
  request_models       = { "application/json" = aws_api_gateway_model.pet.name }
  request_parameters   = { "method.request.path.id" = true }
}

resource "aws_api_gateway_integration" "put" {
  rest_api_id       = aws_api_gateway_rest_api.pets.id
  resource_id       = aws_api_gateway_resource.pet.id
  http_method       = aws_api_gateway_method.put.http_method
  type              = "MOCK"
  request_templates = { "application/json" = jsonencode({ statusCode = 200 }) }
}

resource "aws_api_gateway_method_response" "put" {
  rest_api_id         = aws_api_gateway_rest_api.pets.id
  resource_id         = aws_api_gateway_resource.pet.id
  http_method         = aws_api_gateway_method.put.http_method
  status_code         = "200"
  response_models     = { "application/json" = "Empty" }
  response_parameters = { "method.response.header.X-Stage" = false }
}

resource "aws_api_gateway_integration_response" "put" {
  rest_api_id         = aws_api_gateway_rest_api.pets.id
  resource_id         = aws_api_gateway_resource.pet.id
  http_method         = aws_api_gateway_method.put.http_method
  status_code         = aws_api_gateway_method_response.put.status_code
  response_templates  = { "application/json" = "$stageVariables.greeting $input.params('id')" }
  response_parameters = { "method.response.header.X-Stage" = "context.stage" }
  depends_on          = [aws_api_gateway_integration.put]
}

resource "aws_api_gateway_gateway_response" "missing" {
  rest_api_id        = aws_api_gateway_rest_api.pets.id
  response_type      = "MISSING_AUTHENTICATION_TOKEN"
  status_code        = "404"
  response_templates = { "application/json" = "{\"message\":$context.error.messageString}" }
}

resource "aws_api_gateway_deployment" "now" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  depends_on  = [aws_api_gateway_integration_response.put, aws_api_gateway_gateway_response.missing]
  lifecycle { create_before_destroy = true }
}

resource "aws_api_gateway_stage" "prod" {
  rest_api_id   = aws_api_gateway_rest_api.pets.id
  deployment_id = aws_api_gateway_deployment.now.id
  stage_name    = "prod"
  variables     = { greeting = "hello" }
}

resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  stage_name  = aws_api_gateway_stage.prod.stage_name
  method_path = "*/*"
  settings {
    throttling_burst_limit = 50
    throttling_rate_limit  = 100
  }
}

resource "aws_api_gateway_api_key" "key" {
  name = var.name
}

resource "aws_api_gateway_usage_plan" "plan" {
  name = var.name
  api_stages {
    api_id = aws_api_gateway_rest_api.pets.id
    stage  = aws_api_gateway_stage.prod.stage_name
  }
  quota_settings {
    limit  = 2
    period = "DAY"
  }
}

resource "aws_api_gateway_usage_plan_key" "key" {
  key_id        = aws_api_gateway_api_key.key.id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.plan.id
}

resource "aws_api_gateway_domain_name" "domain" {
  domain_name              = "${var.name}.example.org"
  regional_certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/c"
  endpoint_configuration { types = ["REGIONAL"] }
}

resource "aws_api_gateway_base_path_mapping" "root" {
  api_id      = aws_api_gateway_rest_api.pets.id
  stage_name  = aws_api_gateway_stage.prod.stage_name
  domain_name = aws_api_gateway_domain_name.domain.domain_name
}

output "api" { value = aws_api_gateway_rest_api.pets.id }
output "key" {
  value     = aws_api_gateway_api_key.key.value
  sensitive = true
}
