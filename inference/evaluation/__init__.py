"""How good a depth sequence is, measured against the truth."""
