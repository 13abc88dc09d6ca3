"""The gRPC transport of the Open Inference Protocol. Imported only if TAKT_GRPC_PORT is set.

It is served by the gateway's process and event loop, and uses the same admission, keys, deadlines, traces and
metrics as the REST transport.

server     the gRPC server of a gateway: address, TLS, health, reflection
calls      a call between its metadata and its status: authentication, errors, metrics, traces
service    the calls of the protocol
gathering   calls that arrive together, sent together
messages    protobuf messages → tensors of `api/inference_protocol/`, and back
health     grpc.health.v1, by the gateway's readiness
inference_pb2   generated from inference.proto by `make grpc`
"""
