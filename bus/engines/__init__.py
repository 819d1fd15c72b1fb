"""The real engines as supervised children of one process (design.md 1): started, watched, restarted, drained.

- `bus.engines.child`   one child process, started from a thread that lives as long as it does
- `bus.engines.logs`    a child's output, in rotating files
- `bus.engines.admin`   Envoy's admin interface over its unix socket
- `bus.engines.envoy`   the broker's Envoy
- `bus.engines.postgres`    PostgreSQL; `postgres_external` somebody else's, `postgres_migrate` its migrations
"""
