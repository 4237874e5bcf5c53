// Everything that is known of one task, in a dialog that stays up to date while it is open.
import { button, el, icon, one } from "./dom.js";
import { bytes, exact, fileKind, percent, plain, relative, withoutLogin } from "./format.js";
import { open } from "./dialogs.js";
import { wishesFor } from "./phases.js";
import { lineOf, nameOf, phaseOf, sizeOf } from "./rows.js";
import { announce } from "./toasts.js";
import { say } from "./words.js";

/** @param tasks the list that may hold newer states of it; @param act (what, task) for the buttons */
export async function showDetails(task, tasks, act, showsOwner) {
  const body = el("div", { class: "details" });
  let shown = task;
  const draw = () => {
    shown = tasks.tasks.get(task.id) ?? shown;
    fill(body, shown, showsOwner);
  };
  draw();
  tasks.addEventListener("change", draw);
  const chosen = await open(nameOf(task), (close) => [body, actions(shown, close)], { look: "wide" });
  tasks.removeEventListener("change", draw);
  if (chosen) act(chosen, shown);
}

function fill(body, task, showsOwner) {
  const facts = factsOf(task, showsOwner).filter(([, value]) => value);
  const drawn = JSON.stringify(facts);
  if (body.dataset.drawn === drawn) return;
  body.dataset.drawn = drawn;
  const held = body.contains(document.activeElement);
  body.replaceChildren(
    el("div", { class: "details-top", "data-phase": task.phase }, icon(fileKind(nameOf(task))),
      el("div", {}, el("strong", { class: "phase" }, phaseOf(task)), el("p", { dir: "auto" }, lineOf(task)))),
    el("dl", {}, ...facts.flatMap(([key, value, copies]) => [
      el("dt", {}, say(`fact.${key}`)),
      el("dd", {}, el("span", { class: copies ? "long" : null, dir: "auto" }, value), copies && copyButton(value)),
    ])),
  );
  if (held) one("#dialog button")?.focus();
}

function factsOf(task, showsOwner) {
  return [
    ["task", `#${task.id}`],
    ["owner", showsOwner ? plain(task.owner) : ""],
    ["size", sizeOf(task)],
    ["progress", task.progress === null || task.progress === undefined ? "" : percent(task.progress)],
    ["saved", task.phase === "committing" && task.saved ? bytes(task.saved) : ""],
    ["library", plain(task.library)],
    ["path", plain(task.path), true],
    ["url", withoutLogin(task.url), true],
    ["until", task.waits_for?.until ? exact(task.waits_for.until) : ""],
    ["server_says", serverSays(task)],
    ["created", moment(task.created)],
    ["changed", moment(task.changed)],
    ["attempt", task.attempt > 1 ? task.attempt.toLocaleString() : ""],
    ["sha256", task.sha256, true],
  ];
}

/** The daemon's own words, if the line above says it in others. */
function serverSays(task) {
  const sentence = plain(task.comment || task.waits_for?.sentence || "");
  return lineOf(task).includes(sentence) ? "" : sentence;
}

const moment = (at) => `${exact(at)} (${relative(at)})`;

function actions(task, close) {
  const buttons = wishesFor(task).map((wish) => button(say(`do.${wish}`), () => close(wish), { symbol: wish }));
  return el("footer", {}, ...buttons, button(say("close"), () => close(null)));
}

function copyButton(value) {
  return el("button", { type: "button", class: "tool small", "aria-label": say("copy"), title: say("copy"), click: () => copy(value) }, icon("copy"));
}

async function copy(value) {
  try {
    await navigator.clipboard.writeText(value);
    announce(say("copied"));
  } catch {
    announce(say("not_copied")); // the browser has no clipboard for pages without https
  }
}
