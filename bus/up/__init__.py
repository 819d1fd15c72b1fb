"""A whole instance that runs from one state directory: what `govbus up` starts and `govbus down` ends.

- `bus.up.layout`     where everything lies, and what an instance is told once
- `bus.up.found`      first start: keys, credentials, the registry's founding events; a later start finds them
- `bus.up.running`    the parts in their order, kept alive, ended in reverse order
- `bus.up.broker`     the broker's own credentials, renewed before they end
- `bus.up.control`    the supervisor's local socket: what only it knows, for the other commands
- `bus.up.process`    the lock, the supervisor as a background process, its end
- `bus.up.report`     every part as a person wants to know it: state, since when, what happens next
"""
