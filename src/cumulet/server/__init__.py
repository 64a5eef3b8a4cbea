"""The composition root, the only package that knows all parts of a node: `node.py` is the list of them, beside it a file each."""

from cumulet.server.node import Node, serve

__all__ = ["Node", "serve"]
