// Small help to build a page: elements by name, attributes and children.

/**
 * @param {string} name
 * @param {Record<string, any>} [attributes] `on…` are listeners; true sets, and false or null leaves out
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false).map((child) => child || ""));
  return element;
}

/** @param {string} text snake case @returns {string} words */
export function words(text) {
  return text.replaceAll("_", " ");
}

/**
 * @param {string} name of an SVG element
 * @param {Record<string, string|number>} attributes
 * @param {...(Node|string)} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const template = document.createElement("template");
  template.innerHTML = "<svg></svg>"; // the parser knows SVG's namespace
  const space = template.content.firstElementChild?.namespaceURI ?? null;
  const element = /** @type {SVGElement} */ (document.createElementNS(space, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** @param {string} moment ISO 8601 @returns {string} the time; with the day, if it is not today */
export function clock(moment) {
  const when = new Date(moment);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}

/** @param {unknown} error @returns {string} what to tell a person */
export const told = (error) => (error instanceof Error ? error.message : String(error));
