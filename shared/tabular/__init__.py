"""Conversion between files and Arrow: uploaded files to chunks of rows, results to files. No HTTP.

Reading: body ─▶ decoding ─▶ csv · ndjson · columnar ─▶ casting ─▶ chunking, a thread per upload (`reading`)
Writing: stored chunks ─▶ result_tables ─▶ writers

file_formats     media types and extensions     upload_options   parameters of an upload
column_matching  columns for each model input   casting          columns to validated rows
text_cells       text to typed values           rows             rows with their validation errors
"""
