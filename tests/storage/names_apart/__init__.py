"""Tests of two of our names in one store."""
