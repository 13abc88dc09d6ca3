// The API key of this tab: entered once, kept until the tab is closed, sent with every request for data.

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

export function setKey(value) {
  memory = value || null;
  try {
    if (memory) sessionStorage.setItem(NAME, memory);
    else sessionStorage.removeItem(NAME);
  } catch {
    // kept in memory alone
  }
  for (const listener of listeners) listener(memory);
}

export function onKey(listener) {
  listeners.add(listener);
}

/** The headers that say who asks; none where the service is open. */
export function credentials() {
  const value = key();
  return value ? { Authorization: `Bearer ${value}` } : {};
}
