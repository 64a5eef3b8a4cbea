terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "archive" { type = string }
variable "layer_archive" { type = string }

provider "aws" { region = "eu-west-1" }

resource "aws_iam_role" "runner" {
  name = "runner"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
  tags = { team = "clouds" }
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.runner.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "logs:*", Resource = "*" }] })
}

resource "aws_cloudwatch_log_group" "hello" {
  name              = "/aws/lambda/tf-hello"
  retention_in_days = 7
  tags              = { team = "clouds" }
}

resource "aws_lambda_layer_version" "words" {
  layer_name          = "words"
  filename            = var.layer_archive
  source_code_hash    = filebase64sha256(var.layer_archive)
  compatible_runtimes = ["python3.11"]
}

resource "aws_lambda_function" "hello" {
  function_name    = "tf-hello"
  role             = aws_iam_role.runner.arn
  runtime          = "python3.11"
  handler          = "hello.handler"
  filename         = var.archive
  source_code_hash = filebase64sha256(var.archive)
  layers           = [aws_lambda_layer_version.words.arn]
  timeout          = 10
  memory_size      = 256
  publish          = true
  environment { variables = { GREETING = "hello" } }
  tags       = { team = "clouds" }
  depends_on = [aws_cloudwatch_log_group.hello]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.hello.function_name
  function_version = aws_lambda_function.hello.version
}

resource "aws_lambda_function_url" "hello" {
  function_name      = aws_lambda_function.hello.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "NONE"
  cors {
    allow_origins = ["*"]
    allow_methods = ["GET"]
    max_age       = 60
  }
}

resource "aws_lambda_permission" "anyone" {
  statement_id           = "anyone"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.hello.function_name
  qualifier              = aws_lambda_alias.live.name
  principal              = "*"
  function_url_auth_type = "NONE"
}

output "url" { value = aws_lambda_function_url.hello.function_url }
