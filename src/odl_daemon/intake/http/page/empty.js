// What stands where a list has nothing to show: what is missing, and what to do about it.
import { button, el, icon } from "./dom.js";
import { bytes } from "./format.js";
import { say } from "./words.js";

/** @param context `limits()` of the user, `clearSearch()`, `again()`, `focusAdd()` */
export function emptyState(place, tasks, context) {
  const kind = kindOf(tasks);
  place.hidden = kind === null;
  const drawn = `${kind} ${document.documentElement.lang} ${tasks.view.tab} ${tasks.view.q} ${JSON.stringify(context.limits())}`;
  if (place.dataset.drawn === drawn) return;
  place.dataset.drawn = drawn;
  place.replaceChildren(...(kind === null ? [] : CONTENTS[kind](tasks, context)));
}

function kindOf({ order, isLoading, trouble, view }) {
  if (order.length > 0) return null;
  if (trouble) return "trouble";
  if (isLoading) return "loading";
  if (view.q) return "search";
  return view.tab === "all" ? "all" : "tab";
}

const CONTENTS = {
  loading: () => Array.from({ length: 4 }, () => el("div", { class: "ghost", "aria-hidden": "true" })),
  trouble: ({ trouble }, { again }) => [
    icon("alert"), el("h3", {}, say("empty.trouble")), el("p", {}, trouble.words ?? String(trouble)),
    button(say("empty.again"), again, { symbol: "retry" }),
  ],
  search: ({ view }, { clearSearch }) => [
    icon("search"), el("h3", {}, say("empty.search", { q: view.q })), button(say("empty.clear"), clearSearch),
  ],
  all: (_, { limits, focusAdd }) => [
    icon("inbox"), el("h3", {}, say("empty.all")), el("p", {}, say("empty.all.how")),
    el("p", { class: "quiet" }, [say("empty.allowed"), largest(limits())].filter(Boolean).join(" ")),
    button(say("empty.add"), focusAdd, { symbol: "plus" }),
  ],
  tab: ({ view }) => [icon(ICONS[view.tab]), el("h3", {}, say(`empty.${view.tab}`)), el("p", {}, say(`empty.${view.tab}.how`))],
};

const ICONS = { active: "drop", waiting: "clock", done: "check", failed: "check" };

function largest(limits) {
  const most = limits?.limits?.max_size;
  return most ? say("empty.max_size", { size: bytes(most) }) : "";
}
