"""The record: what passed between the lab's servers and others."""
