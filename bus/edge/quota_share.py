"""A limit is the whole bus's; the tables that gates get say one broker's share of it (protocol.md 4, check 9).

1. Brokers count that may work: active, and with a certificate in the tables. At least one is counted.
2. Each has the same share, rounded up: a limit never becomes 0, which would mean none. So all brokers together pass at
   most as many more than the limit as there are brokers, less one.
3. A broker that has stopped counts until its certificate leaves the policy: nobody's share grows by guesswork.

A client that keeps to one broker of several has that broker's share only; the runtime takes them in turn.
"""

from dataclasses import replace

from native.policy_types import Grant, PolicyTables, Subsystem

__all__ = ["broker_count", "divided", "grant_share", "subsystem_share"]


def divided(tables: PolicyTables) -> PolicyTables:
    """Tables with whole limits -> tables with one broker's share of each."""
    brokers = broker_count(tables)
    if brokers == 1:
        return tables
    return replace(
        tables,
        subsystems=tuple(subsystem_share(one, brokers) for one in tables.subsystems),
        grants=tuple(grant_share(one, brokers) for one in tables.grants),
    )


def broker_count(tables: PolicyTables) -> int:
    """Among how many brokers limits are divided (1)."""
    certified = {one.subsystem for one in tables.certificates}
    return max(1, sum(one.is_broker and one.active and one.id in certified for one in tables.subsystems))


def grant_share(grant: Grant, brokers: int) -> Grant:
    """The grant with a broker's share of its limits (2)."""
    if brokers == 1 or not any((grant.calls_per_second, grant.burst, grant.calls_per_day, grant.bytes_per_day)):
        return grant
    return replace(
        grant,
        calls_per_second=_share(grant.calls_per_second, brokers),
        burst=_share(grant.burst, brokers),
        calls_per_day=_share(grant.calls_per_day, brokers),
        bytes_per_day=_share(grant.bytes_per_day, brokers),
    )


def subsystem_share(subsystem: Subsystem, brokers: int) -> Subsystem:
    """The subsystem with a broker's share of its rate (2)."""
    if brokers == 1 or not subsystem.calls_per_second:
        return subsystem
    return replace(
        subsystem,
        calls_per_second=_share(subsystem.calls_per_second, brokers),
        burst=_share(subsystem.burst, brokers),
    )


def _share(limit: int, brokers: int) -> int:
    return -(-limit // brokers)
