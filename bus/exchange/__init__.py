"""The wire layer that both sides of a call use: `connect` for a client, `serve` for a provider."""
