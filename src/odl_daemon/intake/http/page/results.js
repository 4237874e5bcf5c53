// What came of handing over links: a line for each, the refused ones with their sentence.
import { el, icon, iconButton, one } from "./dom.js";
import { plain, withoutLogin } from "./format.js";
import { announce } from "./toasts.js";
import { say, sayFor } from "./words.js";

const MOST = 200;

/**
 * @param lines [{link, task?, error?}]; one without either was not handed over
 * @param trouble why not all of them were handed over, or null
 */
export function showResults(lines, trouble, onClose) {
  const place = one("#results");
  const added = lines.filter((line) => line.task).length;
  const told = added === lines.length ? say("result.added", { count: added }) : say("result.some", { added, not: lines.length - added });
  const close = () => {
    place.hidden = true;
    onClose();
    one("#links").focus();
  };
  place.replaceChildren(
    el("header", {}, el("strong", {}, told), iconButton("cancel", say("close"), close)),
    ...(trouble ? [el("p", { class: "mistake" }, trouble.words)] : []),
    el("ul", {}, ...lines.slice(0, MOST).map(item)),
    ...(lines.length > MOST ? [el("p", { class: "quiet" }, say("result.more", { count: lines.length - MOST }))] : []),
  );
  place.hidden = false;
  announce([told, trouble?.words].filter(Boolean).join(" "));
}

function item({ link, task, error }) {
  const shown = el("bdi", { class: "result-link" }, task ? plain(task.name) || withoutLogin(link) : withoutLogin(link));
  if (task) return el("li", { class: "is-good" }, icon("check"), shown);
  return el("li", { class: "is-bad" }, icon("alert"), shown, el("span", { class: "result-why" }, why(error)));
}

function why(error) {
  if (!error) return say("result.not_sent");
  const sentence = plain(sayFor("reason", error.reason, error.sentence));
  return error.action === "raise_limit" ? `${sentence} ${say("remedy.raise_limit.how")}` : sentence;
}
