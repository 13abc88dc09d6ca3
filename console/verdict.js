// Is it healthy? Decided from what the feeds know, and from nothing else: `{level, problems}`.

import { modelKey } from "./fleet.js";

const OLD_ONLINE_S = 5;
const RECENT_SLOTS = 10; // five minutes
const FEW_REQUESTS = 20;

/** Each problem: its level, its string and the string's parameters, and where to look. Worst first. */
export function verdict({ ready, workers, lanes, history, models }) {
  if (!ready || !workers) return { level: "unknown", problems: [] };
  const problems = [
    ...ofGateway(ready),
    ...(workers ? ofWorkers(workers) : []),
    ...ofModels(models, workers),
    ...(lanes ? ofLanes(lanes) : []),
    ...(history ? ofHistory(history.total) : []),
  ].sort((a, b) => rank(b.level) - rank(a.level));
  return { level: problems.length ? worst(problems) : "ok", problems };
}

const rank = (level) => ["ok", "info", "warn", "bad"].indexOf(level);

function worst(problems) {
  const level = problems[0].level;
  return level === "info" ? "ok" : level;
}

function problem(level, key, parameters = {}, link = null) {
  return { level, key: `problem.${key}`, parameters, link };
}

function ofGateway(ready) {
  if (!ready.queue) return [problem("bad", "queue")];
  return ready.draining ? [problem("warn", "gateway_draining")] : [];
}

function ofWorkers(workers) {
  if (!workers.length) return [problem("bad", "no_worker", {}, "#/workers")];
  return workers.flatMap((worker) => [...ofState(worker), ...ofHeld(worker)]);
}

/** Whether a worker loads models; it may serve others already. */
function loads(worker) {
  return worker.state === "starting" || worker.models.some((held) => held.state === "loading");
}

function ofState(worker) {
  const parameters = { worker: worker.name };
  if (worker.state === "draining") return [problem("info", "draining", parameters, "#/workers")];
  return loads(worker) ? [problem("info", "starting", parameters, "#/workers")] : [];
}

function ofHeld(worker) {
  const failed = worker.models.filter((held) => held.state === "failed");
  return failed.map((held) =>
    problem(
      "bad",
      "load_failed",
      { worker: worker.name, model: modelKey(held), reason: held.reason },
      "#/workers",
    ),
  );
}

function ofModels(models, workers) {
  const loading = workers?.some(loads);
  return (models?.models ?? [])
    .filter((model) => !model.loaded && workers?.length && !loading)
    .map((model) =>
      problem("warn", "not_loaded", { model: `${model.name}@${model.version}` }, `#/models/${model.name}`),
    );
}

function ofLanes(lanes) {
  return lanes.flatMap((lane) => {
    const model = modelKey(lane);
    const rows = lane.online.rows_waiting + lane.offline.rows_waiting;
    if (rows && !lane.holders) return [problem("bad", "not_held", { rows, model }, "#/jobs?state=active")];
    const age = lane.online.oldest_s;
    return age > OLD_ONLINE_S
      ? [problem(age > 2 * OLD_ONLINE_S ? "bad" : "warn", "online_old", { model, age })]
      : [];
  });
}

function ofHistory(total) {
  const sum = (numbers) => numbers.slice(-RECENT_SLOTS).reduce((a, b) => a + b, 0);
  const errors = sum(total.errors);
  const share = errors / Math.max(1, errors + sum(total.requests));
  if (errors + sum(total.requests) < FEW_REQUESTS || share <= 0.01) return [];
  return [problem(share > 0.1 ? "bad" : "warn", "errors", { share })];
}
