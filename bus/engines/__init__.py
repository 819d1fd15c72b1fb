"""The real engines as supervised children of one process (design.md 1): started, watched, restarted, drained.

- `bus.engines.supervisor`      one child process, kept alive; `tether` ties its life to ours, `logs` keeps its output
- `bus.engines.run_directory`   where unix sockets lie
- `bus.engines.admin`           Envoy's admin interface over its unix socket
- `bus.engines.envoy`           the broker's Envoy
- `bus.engines.broker`          a whole broker instance out of its directory
- `bus.engines.postgres`        PostgreSQL; `postgres_external` somebody else's, `postgres_migrate` its migrations
"""
