"""The edge: what the broker's Envoy and gate are told, made from readable policy.

- `bus.edge.endpoint`         host:port
- `bus.edge.policy_file`      the readable policy (YAML), checked line by line
- `bus.edge.snapshot_files`   policy -> signed snapshots: the broker's whole one, a scoped one for each subsystem
- `bus.edge.envoy_config`     settings -> the files Envoy reads
- `bus.edge.instance`         a new instance on disk: authority, identities, keys, policy, snapshots

Nothing here is on the path of a call.
"""
