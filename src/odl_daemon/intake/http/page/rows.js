// One row of the list: made once, then only what changed is written.
import { changeIcon, el, icon, iconButton, setAttribute, setText } from "./dom.js";
import { bytes, duration, exact, fileKind, percent, plain, relative, speed } from "./format.js";
import { isMoving, isOver, remedyOf, wishesFor } from "./phases.js";
import { language, say, sayFor } from "./words.js";

export class Row {
  #look;
  #parts;
  #acts = "";

  /** @param look `task()`, and whether it `isPicked()`, `isCurrent()`, `showsOwner()` */
  constructor(id, look) {
    this.#look = look;
    this.#parts = makeParts(id);
    this.element = makeElement(id, this.#parts);
  }

  update() {
    const task = this.#look.task();
    if (task === undefined) return;
    const parts = this.#parts;
    const name = nameOf(task);
    setAttribute(this.element, "data-phase", task.phase);
    this.element.classList.toggle("is-picked", this.#look.isPicked());
    this.element.classList.toggle("is-current", this.#look.isCurrent());
    parts.check.checked = this.#look.isPicked();
    setAttribute(parts.check, "aria-label", say("select.one", { name }));
    changeIcon(parts.kind, fileKind(name));
    setText(parts.name, name);
    setAttribute(parts.open, "title", name);
    setText(parts.host, plain(task.host));
    setText(parts.phase, phaseOf(task));
    setText(parts.line, lineOf(task));
    setAttribute(parts.line, "title", parts.line.textContent);
    setText(parts.size, sizeOf(task));
    setText(parts.owner, this.#look.showsOwner() ? plain(task.owner) : "");
    setText(parts.ago, relative(task.changed));
    setText(parts.at, exact(task.changed, "short"));
    setAttribute(parts.when, "datetime", task.changed);
    setAttribute(parts.when, "title", exact(task.changed));
    this.#updateBar(task, name);
    this.#updateActs(task, name);
  }

  #updateBar(task, name) {
    const { bar, part } = this.#parts;
    const shows = isMoving(task) || (!isOver(task) && task.progress > 0);
    bar.hidden = !shows;
    setText(part, shows && task.progress !== null ? percent(task.progress) : "");
    if (!shows) return;
    setAttribute(bar, "value", task.progress);
    setAttribute(bar, "aria-label", say("progress.of", { name }));
  }

  /** Buttons are made anew only if they are others: one that has the focus keeps it. */
  #updateActs(task, name) {
    const wanted = [language(), remedyOf(task), ...wishesFor(task), task.wish, name].join(" ");
    if (wanted === this.#acts) return;
    this.#acts = wanted;
    const held = this.#parts.acts.contains(document.activeElement) && document.activeElement.dataset.act;
    this.#parts.acts.replaceChildren(...actsOf(task, name));
    if (held) (this.#parts.acts.querySelector(`[data-act="${held}"]`) ?? this.#parts.open).focus();
  }
}

export const nameOf = (task) => plain(task.name) || withoutEnd(task.url);

/** The phase in words; a wish that waits to be carried out says so. */
export function phaseOf(task) {
  if (task.wish && !isOver(task)) return say(`wish.${task.wish}`);
  const place = task.phase === "waiting" ? task.waits_for?.place : null;
  return place ? say("phase.waiting_at", { place }) : say(`phase.${task.phase}`);
}

/** What is to be said below: speed and time to go, why it waits, what went wrong, or where the file is. */
export function lineOf(task) {
  if (isMoving(task)) return figuresOf(task);
  if (task.phase === "done") return say("done.at", { library: plain(task.library), path: plain(task.path) });
  if (task.phase === "failed" || task.phase === "expired") return troubleOf(task);
  if (task.phase === "cancelled") return task.comment ? troubleOf(task) : "";
  return task.waits_for ? plain(sayFor("rule", task.waits_for.rule, task.waits_for.sentence)) : "";
}

/** What went wrong, and whom to ask if the user cannot mend it. */
export function troubleOf(task) {
  const sentence = plain(sayFor("reason", task.reason, task.comment));
  const help = remedyOf(task);
  return ["raise_limit", "free_space"].includes(help) ? `${sentence} ${say(`remedy.${help}.how`)}` : sentence;
}

export function sizeOf(task) {
  if (task.phase === "done") return bytes(task.size);
  if (task.total && task.done && !isOver(task)) return say("size.of", { done: bytes(task.done), total: bytes(task.total) });
  const known = task.total || task.done;
  return known ? bytes(known) : "–";
}

function figuresOf(task) {
  const left = task.eta === null ? null : say("eta", { time: duration(task.eta) });
  return [speed(task.speed), left].filter(Boolean).join(" · ");
}

function withoutEnd(url) {
  return plain(url).replace(/[?#].*$/, "").split("/").filter(Boolean).at(-1) ?? "";
}

function actsOf(task, name) {
  const remedy = remedyOf(task);
  const main = { new_link: "link", give_login: "key", free_space: "retry", retry: "retry" }[remedy];
  const acts = wishesFor(task).filter((wish) => wish !== main).map((wish) => act(wish, wish, say(`do.${wish}.of`, { name })));
  if (main) acts.unshift(remedyButton(remedy, main, name));
  if (wishesFor(task).length > 0 || main) acts.push(act("more", "more", say("do.more.of", { name })));
  return acts;
}

function act(what, symbol, label) {
  const made = iconButton(symbol, label);
  made.dataset.act = what;
  return made;
}

function remedyButton(remedy, symbol, name) {
  const label = say(`remedy.${remedy}`);
  const attributes = { type: "button", class: "button small", "aria-label": say("remedy.of", { label, name }) };
  const made = el("button", attributes, icon(symbol), el("span", {}, label));
  made.dataset.act = remedy === "free_space" ? "retry" : remedy;
  return made;
}

function makeParts(id) {
  const name = el("bdi");
  return {
    check: el("input", { type: "checkbox", tabindex: 0 }),
    kind: icon("file"),
    name,
    open: el("button", { type: "button", class: "name", id: `name-${id}`, "data-act": "open", "aria-describedby": `state-${id}` }, name),
    host: el("span", { class: "host" }),
    phase: el("span", { class: "phase" }),
    part: el("span", { class: "part" }),
    bar: el("progress", { max: 1 }),
    line: el("p", { class: "line", dir: "auto" }),
    size: el("span", { class: "size" }),
    owner: el("span", { class: "owner" }),
    ago: el("span", { class: "ago" }),
    at: el("span", { class: "at" }),
    when: el("time", { class: "when" }),
    acts: el("div", { class: "acts" }),
  };
}

function makeElement(id, parts) {
  parts.when.append(parts.ago, parts.at);
  return el(
    "li",
    { class: "row task", "data-id": id },
    el("label", { class: "pick" }, parts.check),
    el("span", { class: "kind" }, parts.kind),
    el("div", { class: "what" }, parts.open, parts.host),
    el("div", { class: "state", id: `state-${id}` },
      el("div", { class: "state-top" }, parts.phase, parts.part), parts.bar, parts.line),
    parts.size,
    parts.owner,
    parts.when,
    parts.acts,
  );
}
