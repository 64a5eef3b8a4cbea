"""PartiQL as DynamoDB speaks it: a statement's text and parameters become the plain objects that expressions become. Pure."""

from cumulet.services.tables.partiql.bindings import Bindings
from cumulet.services.tables.partiql.parser import parse
from cumulet.services.tables.partiql.statements import Delete, Exists, Insert, Select, Statement, Update

__all__ = ["Bindings", "Delete", "Exists", "Insert", "Select", "Statement", "Update", "parse"]
