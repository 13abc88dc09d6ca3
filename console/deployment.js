// The deployment of a model: which versions are served, and the changes of operators: deploy, roll back.

import { confirmed } from "./confirm.js";
import { h, put, text } from "./dom.js";
import { clock, milliseconds, number, percent } from "./format.js";
import { get, send } from "./http.js";
import { badge } from "./marks.js";
import { button, outcome, replaceButtons } from "./operations.js";
import { failureText, panel } from "./panels.js";
import { rolloutPart } from "./rollout.js";
import { may } from "./session.js";
import { t } from "./words.js";

const EVERY_MS = 3000;
const HELD = {
  held: ["ok", "check"],
  loading: ["info", "dots"],
  on_demand: ["info", "dots"],
  failed: ["bad", "cross"],
  absent: ["idle", "dash"],
};

/** The panel reads the deployment again every few seconds while it is in the document. */
export function deploymentPanel(model, moved) {
  const path = `/models/${encodeURIComponent(model.name)}`;
  const done = outcome();
  const note = h("p", { class: "empty" }, t("app.loading"));
  const facts = h("dl", { class: "facts" });
  const buttons = h("div", { class: "actions", tabindex: "-1" });
  const rollout = rolloutPart();
  let now = null;
  const change = async (method, place, words, data) => {
    const headers = { "If-Match": `"${now.generation}"`, "Content-Type": "application/json" };
    const body = data && JSON.stringify(data);
    const changed = await done.run(() => send(`${path}/${place}`, { method, headers, body }), words);
    await load();
    return changed;
  };
  const form = deployForm(model, () => now, change);
  const body = h("div", { class: "body stack", hidden: true }, facts, done.node, buttons, form, rollout.node);
  const node = panel(t("deployment.title"), null, note, body);
  const load = async () => {
    try {
      const [deployment, rollouts, hour] = await Promise.all([
        get(`${path}/deployment`),
        get(`${path}/rollouts`),
        get(`/history?model=${encodeURIComponent(model.name)}`).catch(() => null), // may be forbidden
      ]);
      drawDeployment(facts, deployment);
      if (now?.generation !== deployment.generation) offer(buttons, deployment, change);
      if (now && now.serves !== deployment.serves) moved();
      now = deployment;
      rollout.draw(model.name, rollouts.running ?? rollouts.ended[0], hour);
      [note.hidden, body.hidden] = [true, false];
    } catch (error) {
      text(note, failureText(error));
      [note.hidden, body.hidden] = [false, !now];
    }
  };
  const watch = async () => {
    if (!document.hidden || !now) await load();
    setTimeout(() => node.isConnected && watch(), EVERY_MS);
  };
  watch();
  return node;
}

function offer(box, deployment, change) {
  const running = deployment.rollout?.state === "running";
  const { from_version: of, to_version: to } = deployment.rollout ?? {};
  const version = running ? of : deployment.can_roll_back_to;
  const question = running
    ? t("deployment.rollback.rollout", { to, of })
    : t("deployment.rollback.sure", { version, before: deployment.default });
  const label = running ? t("deployment.rollback") : t("deployment.rollback.to", { version });
  const back = async () =>
    (await confirmed(question, t("deployment.rollback"))) &&
    change("POST", "rollback", t("deployment.rollback.done", { version }));
  replaceButtons(box, version && may("deploy") ? [button(label, back, { kind: "danger" })] : []);
}

/** A version for all requests, or for a percentage of them. */
function deployForm(model, current, change) {
  if (!may("deploy")) return null;
  const options = model.versions.map((version) => h("option", { value: version }, version));
  const version = h("select", { id: "deploy-version" }, options);
  const canary = h("input", { id: "deploy-canary", type: "number", min: 0, max: 100, step: "any" });
  const submit = async (event) => {
    event.preventDefault();
    const share = canary.value === "" ? null : Number(canary.value);
    const words = { version: version.value, percent: share };
    const question = share === null ? t("deployment.deploy.all", words) : t("deployment.deploy.some", words);
    if (!(await confirmed(question, t("deployment.deploy")))) return;
    const target = targetOf(current(), version.value, share);
    await change("PUT", "deployment", t("deployment.deploy.done", words), target);
  };
  const field = (input, key) => h("div", { class: "field" }, h("label", { for: input.id }, t(key)), input);
  return h(
    "form",
    { class: "stack", onsubmit: submit },
    h("div", { class: "fields" }, field(version, "deployment.version"), field(canary, "deployment.canary")),
    h("div", { class: "actions" }, h("button", { type: "submit" }, t("deployment.deploy"))),
  );
}

/** The request of `takt deploy VERSION --canary PERCENT`: other wanted versions, aliases and the shadow stay. */
export function targetOf(before, version, share) {
  const wanted = [...new Set([...before.wanted, version])];
  const target = { wanted, default: before.default, aliases: before.aliases };
  const { shadow, rollout } = before;
  if (shadow && shadow.version !== version && rollout?.state !== "running")
    target.shadow = { version: shadow.version, share: shadow.share, tolerance: shadow.tolerance };
  if (share === null) return { ...target, default: version, split: {} };
  if (version === before.default) return { ...target, split: {} };
  return { ...target, split: { [before.default]: 100 - share, [version]: share } };
}

function drawDeployment(list, found) {
  const key = JSON.stringify(found);
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  const split = Object.entries(found.split).map(([version, share]) => `${version}: ${number(share, 2)} %`);
  const aliases = Object.entries(found.aliases).map(([name, version]) => `${name} → ${version}`);
  const facts = [
    ["deployment.default", found.default],
    ["deployment.serves", found.serves],
    ["deployment.split", split.join(", ") || t("deployment.split.none")],
    ["deployment.held", h("div", { class: "held" }, found.versions.map((one) => heldVersion(one, found.wanted)))],
    ["deployment.aliases", aliases.join(", ")],
    ["deployment.shadow", found.shadow && shadowText(found.shadow)],
    ["deployment.generation", number(found.generation)],
    ["deployment.changed", changeText(found)],
  ];
  put(list, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)]));
}

function heldVersion({ version, state, workers, failures }, wanted) {
  const words = t(`deployment.held.${state}`, { n: number(workers.length) });
  const unwanted = wanted.includes(version) ? "" : ` (${t("deployment.unwanted")})`;
  return badge(HELD[state] ?? HELD.absent, `${version}${unwanted}: ${words}`, failures.join("; ") || null);
}

function shadowText(shadow) {
  return t("deployment.shadow.about", {
    version: shadow.version,
    share: percent(shadow.share, 1),
    compared: number(shadow.compared),
    disagreement: percent(shadow.disagreement, 3),
    p99: milliseconds(shadow.p99_ms),
    dropped: number(shadow.dropped),
  });
}

function changeText({ changed_at: at, changed_by: by, reason }) {
  return at && [clock(at), by, reason].filter(Boolean).join(" · ");
}
