"""Who takes part, with which keys, offering and allowed what: a log of events, and states folded from it.

- `bus.registry.registry`    record changes, read the state now or at any position or time
- `bus.registry.store`       the log in PostgreSQL
- `bus.registry.fold`        events -> state, changes -> events; pure
- `bus.registry.members`, `subsystems`, `keys`, `services`, `grants`    the kinds of change, rules beside each
- `bus.registry.contracts`   a descriptor image -> changes
- `bus.registry.enrolment`   enrolment and renewal, judged, issued, recorded; `_tokens`, `_server`, `_client`
- `bus.registry.service_run` the services on the bus: `_directory`, `_admin`, `_renewal`, at home in `_home`
- `bus.registry.policy`      state -> the policy that snapshots are compiled from
"""
