"""Delivery of webhooks: message, signature, POST."""
