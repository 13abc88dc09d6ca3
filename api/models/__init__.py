"""The served models: catalog, request decoding, response rendering."""
