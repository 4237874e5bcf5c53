// Makes and finds elements; what comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with attributes (true = present, false or null = absent), listeners (functions), and children. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An icon of the sprite; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Another icon in the place of the old one. */
export function changeIcon(svg, name) {
  const href = `page/icons.svg#${name}`;
  if (svg.firstChild.getAttribute("href") !== href) svg.firstChild.setAttribute("href", href);
}

/** A button that shows an icon and speaks its name. */
export function iconButton(name, label, click) {
  return el("button", { type: "button", class: "tool", "aria-label": label, title: label, click }, icon(name));
}

/** A button with words. */
export function button(label, click, { look = "", symbol = null } = {}) {
  return el("button", { type: "button", class: `button ${look}`.trim(), click }, symbol && icon(symbol), label);
}

/** Sets the text only if it is another one: what did not change is not laid out or spoken again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute (true = present, false or null = absent) only if it is another one. */
export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Icons and words of what stands in the page already. */
export function dressIcons(root = document) {
  for (const holder of all("[data-icon]", root)) holder.prepend(icon(holder.dataset.icon));
}

/** Whether somebody is typing into this element. */
export function isTyping(element) {
  if (element === null) return false;
  if (element.matches("textarea, select")) return true;
  return element.matches("input") && !["checkbox", "button", "submit"].includes(element.type);
}
