"""The lab: many servers of ours in one process, with a record of what passed."""
