"""Delivers webhooks: message, signature, POST."""
