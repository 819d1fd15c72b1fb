"""Evidence of one call in one file, and its offline verification, step by step."""
