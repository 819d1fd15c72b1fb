"""The SQL source: an existing PostgreSQL table or view, served. docs/tutorial-adapter.md shows one from end to end."""

from adapters.sql.source import SqlSource
from adapters.sql.statements import PagedStatement, Statement

__all__ = ["PagedStatement", "SqlSource", "Statement"]
