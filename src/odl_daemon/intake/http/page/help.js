// The help: what each key does, and a switch for those whom single keys disturb.
import { button, el } from "./dom.js";
import { open } from "./dialogs.js";
import { keysAreOn, turnKeys } from "./keys.js";
import { say } from "./words.js";

const KEYS = [
  ["n", "add"], ["/", "search"], ["j k", "move"], ["Enter", "open"], ["x", "select"], ["p", "pause"], ["r", "retry"],
  ["Del", "cancel"], ["u", "undo"], ["Esc", "clear"], ["?", "help"],
];

export function showHelp(version) {
  return open(say("help.title"), (close) => {
    const flip = (event) => turnKeys(event.target.checked);
    return [
      el("p", {}, say("help.about")),
      el("table", { class: "keys" }, el("caption", {}, say("help.keys")), el("tbody", {}, ...KEYS.map(([keys, what]) =>
        el("tr", {}, el("th", { scope: "row" }, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("td", {}, say(`key.${what}`)))))),
      el("label", { class: "check" }, el("input", { type: "checkbox", checked: keysAreOn(), change: flip }), say("help.keys_on")),
      el("footer", {}, el("span", { class: "quiet" }, say("help.version", { version })), button(say("close"), () => close(null), { look: "strong" })),
    ];
  });
}
