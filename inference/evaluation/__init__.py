"""How accurate and how stable over time a depth sequence is."""
