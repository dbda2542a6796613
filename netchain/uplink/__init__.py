"""Real uplinks: what stands between a chain's sys-net and this computer's own network."""
