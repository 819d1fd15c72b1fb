"""The citizens' portal: procedures, run as a client of the bus and told step by step."""
