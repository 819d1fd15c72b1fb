"""Data-source connectors, one folder per national database; each runs as a process of its own."""
