// Quantities as people read them, in the chosen language. Durations are in seconds, sizes in bytes.

import { language, t } from "./words.js";

const cached = new Map();

function intl(kind, options) {
  const key = `${language()}|${kind.name}|${JSON.stringify(options)}`;
  if (!cached.has(key)) cached.set(key, new kind(language(), options));
  return cached.get(key);
}

export const NONE = "–";

export function number(value, digits = 0) {
  if (value === null || value === undefined) return NONE;
  return intl(Intl.NumberFormat, { maximumFractionDigits: digits, minimumFractionDigits: 0 }).format(value);
}

/** Three significant digits: 12,300 · 4.25 · 0.031 */
export function figure(value) {
  if (value === null || value === undefined) return NONE;
  if (Math.abs(value) >= 100) return number(value);
  return intl(Intl.NumberFormat, { maximumSignificantDigits: 3 }).format(value);
}

/** Short enough for an axis: 12K, 1.2M. */
export function compact(value) {
  return intl(Intl.NumberFormat, { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

export function percent(share, digits = 0) {
  if (share === null || share === undefined) return NONE;
  return intl(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }).format(share);
}

export function bytes(value) {
  if (!value) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${figure(value / 2 ** (10 * power))} ${units[power]}`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return NONE;
  return value >= 1000 ? `${figure(value / 1000)} s` : `${figure(value)} ms`;
}

/** A duration in its two largest units: 3 s · 4 min 10 s · 2 h 5 min · 3 d 4 h */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds > 0 && seconds < 1) return t("time.below_second");
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86400), "time.d"],
    [Math.floor(whole / 3600) % 24, "time.h"],
    [Math.floor(whole / 60) % 60, "time.min"],
    [whole % 60, "time.s"],
  ];
  const first = Math.max(
    parts.findIndex(([amount]) => amount > 0),
    0,
  );
  const shown = (first === 3 || whole === 0 ? [parts[3]] : parts.slice(first, first + 2)).filter(
    ([amount], place) => amount > 0 || place === 0,
  );
  return shown.map(([amount, unit]) => t(unit, { n: amount })).join(" ");
}

/** The time of day, and the date where it is another day. */
export function clock(moment) {
  if (!moment) return NONE;
  const date = moment instanceof Date ? moment : new Date(moment);
  const today = new Date().toDateString() === date.toDateString();
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return intl(Intl.DateTimeFormat, today ? options : { ...options, month: "short", day: "numeric" }).format(
    date,
  );
}

/** A day of the year: Dec 1. */
export function day(date) {
  return intl(Intl.DateTimeFormat, { month: "short", day: "numeric" }).format(date);
}

export function since(moment) {
  return moment ? (Date.now() - new Date(moment).getTime()) / 1000 : null;
}

/** A job's id, short enough to be read aloud. */
export function shortId(id) {
  return id.slice(0, 8);
}
