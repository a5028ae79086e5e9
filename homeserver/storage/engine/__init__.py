"""The database: engines, threads, group commit, migrations."""
