"""The central store: typed records with who put them, when and for what."""
