"""Evidence of one call in one file, and its offline verification, step by step.

- `bus.evidence.bundle`    the file's content as a value, and its one form
- `bus.evidence.verify`    is it true? twenty numbered steps (`steps`, `ledger_steps`), the first that fails is named
- `bus.evidence.export`    a bundle out of a broker's journal, or of what a client was told
- `bus.evidence.entries`   a journal record's entry in the ledger
"""
