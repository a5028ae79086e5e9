"""What is measured, for a monitor."""
