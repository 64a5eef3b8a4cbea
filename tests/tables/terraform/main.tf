terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "name" { type = string }
variable "stage" {
  type    = string
  default = "first"
}

provider "aws" { region = "eu-west-1" }

locals { is_first = var.stage == "first" }

resource "aws_dynamodb_table" "orders" {
  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "N"
  }
  attribute {
    name = "owner"
    type = "S"
  }
  dynamic "attribute" {
    for_each = local.is_first ? [] : ["state"]
    content {
      name = attribute.value
      type = "S"
    }
  }

  global_secondary_index {
    name               = "by-owner"
    hash_key           = "owner"
    range_key          = "sk"
    projection_type    = "INCLUDE"
    non_key_attributes = ["total"]
  }
  dynamic "global_secondary_index" {
    for_each = local.is_first ? [] : ["by-state"]
    content {
      name            = global_secondary_index.value
      hash_key        = "state"
      projection_type = "KEYS_ONLY"
    }
  }

  ttl {
    enabled        = local.is_first
    attribute_name = "ends"
  }
  point_in_time_recovery { enabled = local.is_first }
  server_side_encryption { enabled = true }
  stream_enabled   = true
  stream_view_type = local.is_first ? "NEW_AND_OLD_IMAGES" : "KEYS_ONLY"
  tags             = { stage = var.stage }
}

resource "aws_dynamodb_table" "counts" {
  name           = "${var.name}-counts"
  billing_mode   = "PROVISIONED"
  read_capacity  = local.is_first ? 5 : 7
  write_capacity = 5
  hash_key       = "pk"
  range_key      = "sk"
  attribute {
    name = "pk"
    type = "B"
  }
  attribute {
    name = "sk"
    type = "S"
  }
  attribute {
    name = "at"
    type = "N"
  }
  local_secondary_index {
    name            = "by-time"
    range_key       = "at"
    projection_type = "ALL"
  }
  deletion_protection_enabled = local.is_first
}

resource "aws_dynamodb_table_item" "welcome" {
  table_name = aws_dynamodb_table.orders.name
  hash_key   = aws_dynamodb_table.orders.hash_key
  range_key  = aws_dynamodb_table.orders.range_key
  item       = jsonencode({ pk = { S = "welcome" }, sk = { N = "1" }, owner = { S = var.stage } })
}

resource "aws_dynamodb_resource_policy" "readers" {
  resource_arn = aws_dynamodb_table.orders.arn
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = "000000000000" }, Action = "dynamodb:GetItem", Resource = aws_dynamodb_table.orders.arn }]
  })
}

data "aws_dynamodb_table" "seen" { name = aws_dynamodb_table.orders.name }

output "stream" { value = aws_dynamodb_table.orders.stream_arn }
output "seen" { value = data.aws_dynamodb_table.seen.arn }

resource "aws_dynamodb_table" "spread" {
  name             = "${var.name}-spread"
  billing_mode     = "PAY_PER_REQUEST"
  hash_key         = "pk"
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"
  attribute {
    name = "pk"
    type = "S"
  }
  replica {
    region_name            = "eu-central-1"
    point_in_time_recovery = true
    propagate_tags         = true
  }
  replica { region_name = local.is_first ? "us-east-2" : "ap-south-1" }
  tags = { stage = var.stage }
}
