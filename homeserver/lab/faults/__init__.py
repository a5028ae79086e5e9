"""The faults that rules put in force, a file for each family."""
