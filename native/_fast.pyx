"""The compiled half of native."""
