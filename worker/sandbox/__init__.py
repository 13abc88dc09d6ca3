"""Runs the rows of a chunk that ended workers in processes that may die."""
