"""From the queue on disk to delivered."""
