// What is made of workers and lanes: pure, so that each view says the same.

/** `{model, version}` → `model@version`, as the service names a model version. */
export function modelKey({ model, version }) {
  return `${model}@${version}`;
}

/** What a worker does now, as its heartbeat says it: `online iris@1.0.0`, `chunk {job}/{n}`, or nothing. */
export function currentWork(current) {
  const [kind, what = ""] = current.split(" ");
  if (kind === "online") return { kind, model: what };
  if (kind === "chunk" && !what) return { kind: "other" };
  if (kind === "chunk") return { kind, job: what.split("/")[0], chunk: what.split("/")[1] };
  return { kind: "idle" };
}

/** The state of a worker; `old`: whether it is no longer known. */
export function workerState(worker, old) {
  if (old) return "unknown";
  return worker.drained ? "drained" : worker.state;
}

const BEHIND_ONLINE_S = 2;
const BEHIND_JOBS_S = 600;

/** One lane: its rows, its age, how long it takes to be done at the workers' rate, and a word for all that. */
export function laneState(lane, kind, workers) {
  const own = lane[kind];
  const online = kind === "online";
  const waits = online ? own.requests_waiting : own.chunks_waiting;
  const running = online ? own.requests_running : own.chunks_running;
  const rate = rateOf(lane, online ? "online_rows_per_s" : "offline_rows_per_s", workers);
  const drained = own.rows_waiting && rate ? own.rows_waiting / rate : null;
  const count = online ? waits + running : own.jobs_waiting;
  return {
    rows: own.rows_waiting,
    count,
    oldest: own.oldest_s,
    rate,
    drained,
    state: stateOf(lane, online, waits, running, drained),
  };
}

function stateOf(lane, online, waits, running, drained) {
  if (!waits && !running) return "idle";
  if (waits && !lane.holders) return "stuck";
  if (online && lane.online.oldest_s > BEHIND_ONLINE_S) return "behind";
  if (!online && drained !== null && drained > BEHIND_JOBS_S) return "behind";
  return "flowing";
}

/** Rows a second of all workers that serve a model version; 0 where none has measured it. */
function rateOf(lane, name, workers) {
  const held = (workers ?? [])
    .filter((worker) => worker.state === "serving")
    .flatMap((worker) => worker.models);
  const same = held.filter((model) => model.state === "loaded" && modelKey(model) === modelKey(lane));
  return same.reduce((sum, model) => sum + model[name], 0);
}
