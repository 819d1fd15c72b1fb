"""The business register: which enterprises there are, and whether they operate."""
