"""The edge: what the broker's Envoy and gate are told, made from readable policy; never on a call's path.

- `bus.edge.policy_file`      the readable policy (YAML), checked line by line (`yaml_reader`, `policy_pem`,
                              `policy_methods`)
- `bus.edge.policy_model`     the policy as a value; which part of it a subsystem receives
- `bus.edge.snapshot_files`   policy -> signed snapshots: the broker's whole one, a scoped one for each subsystem
- `bus.edge.publisher`        follows the registry's log, so that snapshots say what it says (`publisher_homes`)
- `bus.edge.settings`         one Envoy's settings; `envoy_config` renders the files it reads (`envoy_listener`,
                              `envoy_clusters`, `envoy_replies`)
- `bus.edge.nation`           a few lines that describe an instance; `instance` makes, publishes and renews it on disk
- `bus.edge.broker_file`      broker.yaml: what one broker is told outside its policy
"""
