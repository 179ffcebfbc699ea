"""From raw photos to batches: reading, rendering, degrading, and the tile folder. Nothing here imports the networks."""
