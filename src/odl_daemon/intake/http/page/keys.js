// Single keys that steer the page, while nobody types and no dialog is open.
import { isOpen } from "./dialogs.js";
import { isTyping } from "./dom.js";
import { keep, kept } from "./keep.js";

let areOn = kept("keys", "on") === "on";

export const keysAreOn = () => areOn;

export function turnKeys(on) {
  areOn = on;
  keep("keys", on ? "on" : "off");
}

/** @param acts what each key does: {n: () => ..., Escape: () => ...} */
export function listenForKeys(acts) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isOpen()) return;
    if (event.key === "Escape") {
      acts.Escape(event);
      return;
    }
    if (!areOn || isTyping(event.target)) return;
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act === undefined) return;
    event.preventDefault();
    act(event);
  });
}
