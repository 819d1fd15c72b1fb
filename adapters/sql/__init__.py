"""Services on PostgreSQL. SqlSource: an existing table or view, served (docs/tutorial-adapter.md shows one from end to
end). SqlStore: a database of the program's own, which it also writes."""

from adapters.sql.schema import Schema
from adapters.sql.source import SqlSource
from adapters.sql.statements import PagedStatement, Statement
from adapters.sql.store import SqlStore
from adapters.sql.transactions import Connection

__all__ = ["Connection", "PagedStatement", "Schema", "SqlSource", "SqlStore", "Statement"]
