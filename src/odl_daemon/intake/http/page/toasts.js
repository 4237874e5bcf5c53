// Short notes at the page's edge, one with a way back; and words for screen readers alone.
import { button, el, iconButton, one } from "./dom.js";
import { say } from "./words.js";

const STAYS = 8_000;
const MOST = 3;
let undo = null;

/** Shows a note. With `back`, it has a button that undoes what it tells, for some seconds. */
export function toast(text, { back = null, isTrouble = false } = {}) {
  const note = el("div", { class: isTrouble ? "toast is-trouble" : "toast" }, el("p", {}, text));
  const entry = back && { run: () => leave(note, entry) || back() };
  if (back) note.append(button(say("undo"), entry.run, { symbol: "retry", look: "small" }));
  note.append(iconButton("cancel", say("close"), () => leave(note, entry)));
  undo = entry ?? undo;
  const place = one("#toasts");
  place.append(note);
  while (place.childElementCount > MOST) place.firstElementChild.remove();
  announce(back ? `${text} ${say("undo.key")}` : text);
  stayWhileLookedAt(note, entry);
}

/** Undoes what the last note with a way back tells; false if there is none. */
export function undoLast() {
  if (undo === null) return false;
  undo.run();
  return true;
}

/** Says something to screen readers. */
export function announce(text) {
  const place = one("#said");
  place.append(el("p", {}, text));
  while (place.childElementCount > 5) place.firstElementChild.remove();
}

function leave(note, entry) {
  note.remove();
  if (undo === entry) undo = null;
  return false;
}

function stayWhileLookedAt(note, entry) {
  let timer = null;
  const begin = () => {
    clearTimeout(timer);
    timer = setTimeout(() => leave(note, entry), STAYS);
  };
  for (const kind of ["pointerenter", "focusin"]) note.addEventListener(kind, () => clearTimeout(timer));
  for (const kind of ["pointerleave", "focusout"]) note.addEventListener(kind, begin);
  begin();
}
