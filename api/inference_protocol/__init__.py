"""The Open Inference Protocol, version 2, as Triton, KServe and MLServer speak it.

Translates between the protocol's tensors and the columns of the online lane, for each transport. A request
of either transport takes this way:

    tensors ─ inputs ─▶ columns ─▶ the online lane ─▶ answer ─ outputs ─▶ tensors

datatypes   the protocol's datatypes, and those of a model's inputs and outputs
tensors     tensors of a request and of a response
inputs      a request's tensors → the columns of a model version
outputs     the columns of an answer → a response's tensors; the classification extension
requests    the parameters of a request
json_bodies bodies of the REST transport, with the binary tensor extension
metadata    a model's metadata and configuration; its statistics
"""
