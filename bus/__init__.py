"""The bus: the wire layer that both sides of a call use (exchange) and the broker's control plane around it.

Import rules are in ARCHITECTURE.md and are walked by tests/architecture.
"""
