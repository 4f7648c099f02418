"""What is done to finished maps: steadying them over time and bringing them to a larger size along the plate."""
