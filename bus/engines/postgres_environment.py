"""libpq's variables (PGHOST, PGSERVICE, PGOPTIONS ...): never for our own PostgreSQL, always for somebody else's.

1. libpq reads them at every connection, and what a shell says of another server (a service, a time zone, an encoding)
   would break ours. So they are taken out of this process before the first connection.
2. An address that a person gave means what psql would make of it: what was taken is its defaults, in libpq's order:
   the address itself, its service, the variables.
3. PGTZ, PGDATESTYLE and PGGEQO count nowhere, and text is UTF-8: our statements rely on that.
"""

import os
from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

__all__ = ["libpq_variables", "take_variables", "with_variables"]

_NAMES = frozenset(
    [os.fsdecode(one.envvar) for one in Conninfo.get_defaults() if one.envvar] + ["PGTZ", "PGDATESTYLE", "PGGEQO"]
)
_SERVICE = "PGSERVICE"

_taken: dict[str, str] = {}


def take_variables() -> None:
    """Take them out of this process's environment; before the first thread, as any change of it."""
    for name in _NAMES & os.environ.keys():
        _taken[name] = os.environ.pop(name)


def libpq_variables() -> Mapping[str, str]:
    """What was taken, for a child that is to reach somebody else's server."""
    take_variables()
    return dict(_taken)


def with_variables(address: str) -> str:
    """A PostgreSQL address with the defaults that libpq would find; psycopg.ProgrammingError if it is none."""
    given = conninfo_to_dict(address)
    variables = dict(libpq_variables())
    if "service" in given:
        variables[_SERVICE] = str(given["service"])
    os.environ.update(variables)
    try:
        found = Conninfo.get_defaults()
    finally:
        for name in variables:
            os.environ.pop(name, None)
    defaults = {
        os.fsdecode(one.keyword): os.fsdecode(one.val)
        for one in found
        if one.val is not None and one.val != one.compiled
    }
    said = {name: str(value) for name, value in given.items()}
    return make_conninfo("", **defaults | said | {"client_encoding": "UTF8"})
