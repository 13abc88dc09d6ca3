"""Conversion between files and Arrow: uploaded files to chunks of rows, results to files. No HTTP.

Reading: body ─▶ decoding ─▶ csv · ndjson · columnar ─▶ casting ─▶ chunking, a thread per upload (`reading`)
Writing: stored chunks ─▶ result_tables ─▶ writers

formats   media types and encodings        options   parameters of an upload
layout    columns for each model input     casting   columns to validated rows (tensors: `tensors`)
texts     text to typed values             rows      rows with their validation errors
"""
