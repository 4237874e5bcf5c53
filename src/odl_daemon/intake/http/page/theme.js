// Dresses the page light or dark before its first paint: as the system does, unless the user chose otherwise.
"use strict";
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("odl.theme"); } catch { return null; } };
  let choice = ["light", "dark"].includes(kept()) ? kept() : "system";

  const dress = () => {
    const dark = choice === "dark" || (choice === "system" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  system.addEventListener("change", dress);
  dress();

  window.odlTheme = {
    get choice() { return choice; },
    choose(theme) {
      choice = theme;
      try { localStorage.setItem("odl.theme", theme); } catch { /* a private window keeps nothing */ }
      dress();
    },
  };
})();
