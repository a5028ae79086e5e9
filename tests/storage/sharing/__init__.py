"""Tests of several processes that share a store."""
