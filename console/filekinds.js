// What a file is, by its name: the media type of its rows, and how it is packed.

const TYPES = {
  csv: "text/csv",
  txt: "text/csv",
  ndjson: "application/x-ndjson",
  jsonl: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.file",
  feather: "application/vnd.apache.arrow.file",
  arrows: "application/vnd.apache.arrow.stream",
};
const PACKED = { gz: "gzip", zst: "zstd" };

/** → `{type, packing}`, or null where the name does not tell. */
export function kindOf(name) {
  const parts = name.toLowerCase().split(".");
  const packing = PACKED[parts.at(-1)] ?? null;
  if (packing) parts.pop();
  const type = parts.length > 1 ? TYPES[parts.at(-1)] : undefined;
  return type ? { type, packing } : null;
}

export function isCsv(name) {
  return kindOf(name)?.type === "text/csv";
}
