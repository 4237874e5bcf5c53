// Dialogs, one at a time: questions, choices, and whatever else must be answered or closed before one goes on.
import { button, el, icon, iconButton, one } from "./dom.js";
import { say } from "./words.js";

/** Opens a dialog with a title and contents; resolves with what `close` is given, null for Escape. */
export function open(title, make, { look = "" } = {}) {
  one("#dialog")?.close();
  return new Promise((resolve) => {
    let answer = null;
    const dialog = el("dialog", { id: "dialog", class: `dialog ${look}`.trim(), "aria-labelledby": "dialog-title" });
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.append(el("div", { class: "dialog-in" },
      el("header", {}, el("h2", { id: "dialog-title" }, el("bdi", {}, title)), iconButton("cancel", say("close"), () => close(null))),
      ...[make(close)].flat(),
    ));
    dialog.addEventListener("pointerdown", (event) => event.target === dialog && close(null)); // beside it
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[data-first]")?.focus();
  });
}

export const isOpen = () => one("#dialog") !== null;

/** Asks before something that cannot be taken back easily; true for yes. */
export function confirm(title, text, yes, no = say("keep_it")) {
  return open(title, (close) => [
    el("p", {}, text),
    el("footer", {}, button(no, () => close(false)), first(button(yes, () => close(true), { look: "danger" }))),
  ]).then(Boolean);
}

/** Lets choose one of [value, label, icon]; null for none. */
export function choose(title, choices) {
  return open(title, (close) => el(
    "ul", { class: "choices" },
    ...choices.map(([value, label, symbol]) => el("li", {},
      el("button", { type: "button", "data-choice": value, click: () => close(value) }, icon(symbol), label))),
  ), { look: "sheet" });
}

/** Asks for texts: [[name, label, type]]; resolves with an object of them, or null. */
export function form(title, text, fields, yes) {
  return open(title, (close) => {
    const submit = (event) => {
      event.preventDefault();
      close(Object.fromEntries(new FormData(event.target)));
    };
    const inputs = fields.map(([name, label, type], at) => el("label", { class: "field" }, el("span", {}, label),
      el("input", { name, type, required: at === 0, autocomplete: "off", spellcheck: "false", "data-first": at === 0 })));
    const buttons = el("footer", {}, button(say("never_mind"), () => close(null)),
      el("button", { type: "submit", class: "button strong" }, yes));
    return el("form", { submit }, el("p", {}, text), ...inputs, buttons);
  });
}

function first(element) {
  element.dataset.first = "";
  return element;
}
