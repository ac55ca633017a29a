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
