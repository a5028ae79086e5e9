"""What stands before the listeners of a lab: connections with faults."""
