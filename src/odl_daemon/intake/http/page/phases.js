// What a task's phase means for the page: which tab it is under, what may be asked of it.

export const TABS = {
  all: null,
  active: ["queued", "fetching", "committing"],
  waiting: ["waiting", "paused"],
  done: ["done"],
  failed: ["failed", "cancelled", "expired"],
};

const MAY = {
  waiting: ["pause", "cancel"],
  queued: ["pause", "cancel"],
  fetching: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  committing: ["cancel"],
  failed: ["retry"],
  cancelled: ["retry"],
  expired: ["retry"],
};

/** Bulk actions that make sense under each tab. */
export const MAY_UNDER = {
  all: ["pause", "resume", "retry", "cancel"],
  active: ["pause", "cancel"],
  waiting: ["pause", "resume", "cancel"],
  done: [],
  failed: ["retry"],
};

/** The wishes that this task can be asked for now. */
export function wishesFor(task) {
  const wishes = MAY[task.phase] ?? [];
  return task.phase === "waiting" && task.waits_for?.rule === "retry" ? ["retry", ...wishes] : wishes;
}

/** The one thing that helps an ended task: [what, is it a button?]. */
export function remedyOf(task) {
  if (!TABS.failed.includes(task.phase)) return null;
  return task.action ?? "retry";
}

export const isOver = (task) => ["done", ...TABS.failed].includes(task.phase);
export const isMoving = (task) => task.phase === "fetching" || task.phase === "committing";

/** Whether a task shows under a tab, a search and an owner. */
export function belongs(task, { tab, q, owner }) {
  if (owner && owner !== "*" && task.owner !== owner) return false;
  if (TABS[tab] && !TABS[tab].includes(task.phase)) return false;
  return !q || [task.name, task.url, task.path].some((text) => text?.toLowerCase().includes(q.toLowerCase()));
}
