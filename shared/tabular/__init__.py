"""Files that are handed over as jobs: read as a stream, checked, cut and stored while they come in.

body ─▶ pipe ─▶ decoding ─▶ csv · ndjson · tabular ─▶ cutting ─▶ store and ledger
loop    └────────── reading: one thread per upload ──────────┘    loop

formats   what a body may be             options   what a client says about it
form      multipart/form-data            layout    which columns feed which inputs
texts     text → types, by columns       casting   columns → checked rows (tensors: tensors)
rows      rows with their reasons        reading   a file → chunks, and what was found in it
intake    a body → a job
"""
