"""Tests of a whole node through its public door."""

import real_node

node, start_node, name = real_node.node, real_node.start_node, real_node.name
