// Puts the page together: who is signed in, what is shown, and which part hears of what.
import { Actions } from "./actions.js";
import { AddField } from "./add.js";
import { Admin } from "./admin.js";
import { Api } from "./api.js";
import { changeIcon, dressIcons, icon, one, setAttribute, setText } from "./dom.js";
import { takeDrops } from "./drop.js";
import { Graph } from "./graph.js";
import { showHelp } from "./help.js";
import { keep, kept } from "./keep.js";
import { listenForKeys } from "./keys.js";
import { ListView } from "./listview.js";
import { Live } from "./live.js";
import { PickedBar } from "./picked.js";
import { nameOf } from "./rows.js";
import { Selection } from "./selection.js";
import { showShares } from "./shares.js";
import { listenForSignIn, whoIsIt } from "./signin.js";
import { PAGE, TaskList } from "./store.js";
import { endings, Tabs } from "./tabs.js";
import { announce, toast, undoLast } from "./toasts.js";
import { dressWords, language, onLanguage, say, speak } from "./words.js";

const THEMES = ["system", "light", "dark"];
let me = null;

const api = new Api(() => signedOut());
const tasks = new TaskList(api);
const selection = new Selection();
const showsOwner = () => Boolean(me?.admin) && tasks.view.owner === "*" && !me.local;
const add = new AddField(api, (added) => {
  tasks.take(added);
  shares.soon();
});
const actions = new Actions(api, tasks, add, showsOwner);
const tabs = new Tabs(tasks, (view) => show(view));
const list = new ListView(tasks, selection, {
  act: (what, task) => actions.act(what, task),
  showsOwner,
  emptyContext: {
    limits: () => me?.limits,
    clearSearch: () => tabs.clearSearch(),
    again: () => show({}),
    focusAdd: () => add.focus(),
  },
});
const picked = new PickedBar(tasks, selection, actions);
const admin = new Admin(api, (owner) => {
  location.hash = "#/";
  show({ owner });
});
const live = new Live({
  address: () => api.events({ owner: tasks.view.owner }),
  tasks: (changed) => endings(tasks.take(changed), nameOf).forEach(announce),
  counts: (counts) => countsChanged(counts),
  reload: (everything) => tasks.refresh(everything ? Infinity : PAGE).catch(quietly),
  look: () => tasks.refresh(PAGE * 4).then(() => true, () => false),
  state: () => bannerSoon(),
});

/** The user's limits, asked for again soon after something may have changed them. */
const shares = {
  timer: null,
  soon() {
    this.timer ??= setTimeout(() => this.ask(), 1500);
  },
  async ask() {
    this.timer = null;
    if (me === null) return;
    me.limits = await api.get("limits").catch(() => me?.limits);
    if (me) showShares(me.limits);
  },
};

// --- who

async function welcome(user) {
  me = user;
  one("#view-sign-in").hidden = true;
  one("#places").hidden = !me.admin;
  one("#sign-out").hidden = Boolean(me.local);
  setAttribute(one("#sign-out"), "aria-label", say("sign_out", { owner: me.owner }));
  setAttribute(one("#sign-out"), "title", say("sign_out", { owner: me.owner }));
  add.welcome(me);
  showShares(me.limits);
  tasks.view.owner = me.admin ? kept("owner", "*") : "";
  if (me.admin) tabs.offerOwners(me, await api.get("admin/users").then(({ users }) => users, () => []));
  place();
  show(Tabs.fromAddress());
  live.start();
}

function signedOut() {
  me = null;
  live.stop();
  for (const id of ["#places", "#sign-out", "#flow", "#banner"]) one(id).hidden = true;
  selection.clear();
  place();
}

// --- what is shown

/** Shows another tab, search or owner. */
function show(view) {
  const owner = tasks.view.owner;
  selection.clear();
  tasks.show(view).catch(quietly);
  if (tasks.view.owner !== owner) {
    keep("owner", tasks.view.owner);
    live.start();
  }
  tabs.draw();
  const { tab, q } = tasks.view;
  const asked = new URLSearchParams({ ...(tab !== "all" && { tab }), ...(q && { q }) }).toString();
  history.replaceState(null, "", `${location.pathname}${asked && `?${asked}`}${location.hash}`);
}

/** Shows the place that the address names. */
function place() {
  const asked = location.hash.replace("#/", "");
  const here = me === null ? "sign-in" : me.admin && ["limits", "blocks"].includes(asked) ? asked : "downloads";
  for (const each of ["sign-in", "downloads", "limits", "blocks"]) one(`#view-${each}`).hidden = each !== here;
  for (const link of one("#places").children) {
    setAttribute(link, "aria-current", link.dataset.place === here ? "page" : null);
  }
  if (here === "limits") admin.showLimits();
  if (here === "blocks") admin.showBlocks();
  if (here === "downloads") list.measure();
}

function countsChanged(counts) {
  tasks.takeCounts(counts);
  shares.soon();
  if (tasks.view.q) searchAgainSoon();
}

let searching = null;
function searchAgainSoon() {
  searching ??= setTimeout(() => {
    searching = null;
    tasks.refresh(PAGE).catch(quietly);
  }, 5000);
}

// --- the banner

let banner = null;
function bannerSoon() {
  clearTimeout(banner);
  banner = setTimeout(drawBanner, live.state === "live" ? 0 : 1500);
}

function drawBanner() {
  const isShown = me !== null && live.state !== "live";
  const wasShown = !one("#banner").hidden;
  one("#banner").hidden = !isShown;
  setText(one("#banner"), isShown ? say(`banner.${live.state}`) : "");
  if (wasShown && !isShown && me !== null) announce(say("banner.live"));
}

// --- the header

function drawHeader() {
  const theme = window.odlTheme.choice;
  setAttribute(one("#theme"), "aria-label", say("theme.switch", { theme: say(`theme.${theme}`) }));
  setAttribute(one("#theme"), "title", say("theme.switch", { theme: say(`theme.${theme}`) }));
  changeIcon(one("#theme svg"), theme);
  setText(one("#language"), language() === "en" ? "中文" : "English");
  setAttribute(one("#language"), "lang", language() === "en" ? "zh" : "en");
  if (me) setAttribute(one("#sign-out"), "aria-label", say("sign_out", { owner: me.owner }));
}

function nextTheme() {
  window.odlTheme.choose(THEMES[(THEMES.indexOf(window.odlTheme.choice) + 1) % THEMES.length]);
  drawHeader();
  announce(one("#theme").title);
}

async function signOut() {
  await api.delete("session").catch(quietly);
  signedOut();
}

// --- the keys

const onPicked = (wish) => (selection.isEmpty ? actions.act(wish, list.current) : picked.wish(wish));

listenForKeys({
  n: () => add.focus(),
  "/": () => tabs.focusSearch(),
  j: () => list.move(1),
  k: () => list.move(-1),
  x: (event) => list.pickCurrent(event.shiftKey),
  p: () => onPicked(selection.isEmpty && list.current?.phase === "paused" ? "resume" : "pause"),
  r: () => onPicked("retry"),
  u: () => undoLast(),
  Delete: () => onPicked("cancel"),
  "?": () => showHelp(me?.version),
  Escape: (event) => {
    if (event.target.matches("input, textarea")) event.target.blur();
    else selection.clear();
  },
});

/** What was refused is told; what else goes wrong is a mistake of ours, and belongs into the console. */
function quietly(trouble) {
  if (trouble.words === undefined) throw trouble;
  if (trouble.status && trouble.status !== 401) toast(trouble.words, { isTrouble: true });
}

async function begin() {
  dressIcons();
  one("#theme").append(icon("system"));
  dressWords();
  drawHeader();
  onLanguage(() => {
    drawHeader();
    drawBanner();
    list.draw();
    picked.draw();
    showShares(me?.limits);
  });
  one("#language").addEventListener("click", () => speak(language() === "en" ? "zh" : "en"));
  one("#theme").addEventListener("click", nextTheme);
  one("#help").addEventListener("click", () => showHelp(me?.version));
  one("#sign-out").addEventListener("click", signOut);
  addEventListener("hashchange", () => (location.hash.startsWith("#token=") ? enter() : place()));
  takeDrops((text) => me && add.append(text));
  listenForSignIn(api, welcome);
  new Graph(() => tasks.flow);
  await enter();
}

async function enter() {
  try {
    const user = await whoIsIt(api);
    if (user) await welcome(user);
    else signedOut();
  } catch (trouble) {
    if (trouble.words === undefined) throw trouble;
    setText(one("#banner"), trouble.words);
    one("#banner").hidden = false;
    setTimeout(enter, 5000);
  }
}

await begin();
