"""Requests that are wrong on purpose, and what a right server does with them."""
