// The user of this tab: an API key, which is kept until the tab is closed, or a person who signed in, whose cookie
// the browser keeps. Sent with every request for data.

const NAME = "takt.key";
let memory = null;
const listeners = new Set();

export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? memory;
  } catch {
    return memory; // storage may be forbidden: the key then lives as long as the page
  }
}

export async function setKey(value) {
  memory = value || null;
  try {
    if (memory) sessionStorage.setItem(NAME, memory);
    else sessionStorage.removeItem(NAME);
  } catch {
    // kept in memory alone
  }
  await learnAsker();
  for (const listener of listeners) listener(memory);
}

export function onKey(listener) {
  listeners.add(listener);
}

/** The key or session of this tab, by the gateway: `{kind, name, roles, csrf_token, sign_in}`; null before it answered. */
export let caller = null;

/** Request the roles of this tab's key or session from the gateway. */
export async function learnAsker() {
  const value = key();
  try {
    const headers = value ? { Authorization: `Bearer ${value}` } : {};
    const response = await fetch("/session", { headers, cache: "no-store", signal: AbortSignal.timeout(2000) });
    if (response.ok) caller = await response.json();
  } catch {
    // the feeds report a gateway that does not answer
  }
}

/** Whether this tab has a role. True before the gateway answered, because the gateway decides anyway. */
export function may(role) {
  return !caller || caller.kind === "none" || caller.roles.includes(role) || caller.roles.includes("admin");
}

/** Whether the caller has a name: that of a key or a person. */
export function isNamed() {
  return ["key", "session"].includes(caller?.kind);
}

/** Whether this tab sees the jobs of all owners: without keys, there is one owner. */
export function seesAllJobs() {
  return !isNamed() || may("admin") || may("audit");
}

/** Whether this tab may see the page of administrators. */
export function administers() {
  return may("operate") || may("audit");
}

/** End the person's session. */
export async function signOut() {
  await fetch("/sign-out", { method: "POST", headers: credentials() });
  await learnAsker();
  for (const listener of listeners) listener(memory);
}

/** The headers that authenticate this tab; none if the service is open. */
export function credentials() {
  const value = key();
  if (value) return { Authorization: `Bearer ${value}` };
  return caller?.csrf_token ? { "X-CSRF-Token": caller.csrf_token } : {};
}
