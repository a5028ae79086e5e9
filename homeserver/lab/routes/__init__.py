"""The lab's part of the control API."""
