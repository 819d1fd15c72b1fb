"""The population register. Its people are synthetic: made from a seed, never taken from anywhere."""
