// What the user may still take, beside the field for links.
import { el, one } from "./dom.js";
import { bytes } from "./format.js";
import { say } from "./words.js";

const KEYS = ["running", "queued", "tasks_per_day", "bytes_per_day"];

/** @param limits {limits, used, left} as the daemon tells them; null in them = no limit */
export function showShares(limits) {
  const place = one("#shares");
  place.hidden = !limits;
  if (!limits) return;
  const drawn = JSON.stringify([limits, document.documentElement.lang]);
  if (place.dataset.drawn === drawn) return;
  place.dataset.drawn = drawn;
  const items = KEYS.filter((key) => limits.limits[key]).map((key) => share(key, limits));
  const most = limits.limits.max_size;
  if (most) items.push(el("span", { class: "share" }, say("share.max_size", { size: bytes(most) })));
  if (items.length === 0) items.push(el("span", { class: "share" }, say("share.none")));
  place.replaceChildren(...items);
}

function share(key, { limits, used, left }) {
  const amount = key === "bytes_per_day" ? bytes : (count) => count;
  const rest = left?.[key] ?? Math.max(0, limits[key] - (used[key] ?? 0));
  const text = say(`share.${key}`, { left: amount(rest), limit: amount(limits[key]) });
  return el("span", { class: rest === 0 ? "share is-out" : "share" },
    el("progress", { max: limits[key], value: Math.min(used[key] ?? 0, limits[key]), "aria-label": text }), text);
}
