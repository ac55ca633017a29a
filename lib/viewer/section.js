// A part of the panel: draws itself from the models it follows, and again whenever one of them changes.

import { h } from "./view.js";

const OPEN = "carina.open.";

export class Section extends HTMLElement {
  #redraw = () => this.#draw();
  #drawn = "";

  /** @returns {EventTarget[]} whose `change` redraws this */
  get follows() {
    return [];
  }

  /** @returns {(Node|null|false)[]} what there is to show now; nothing hides the section */
  content() {
    return [];
  }

  /** Bring up to date what changes too often to be replaced, such as a bar. */
  refresh() {}

  connectedCallback() {
    this.follows.forEach((model) => model.addEventListener("change", this.#redraw));
    this.#drawn = "";
    this.replaceChildren();
    this.#draw();
  }

  disconnectedCallback() {
    this.follows.forEach((model) => model.removeEventListener("change", this.#redraw));
  }

  /** Replace the content, unless the very same is there already, so that focus, clicks and open lists stay. */
  #draw() {
    const fresh = h("div", {}, ...this.content().filter((child) => child !== false));
    if (fresh.innerHTML !== this.#drawn) {
      this.#drawn = fresh.innerHTML;
      const focused = /** @type {ShadowRoot} */ (this.getRootNode()).activeElement;
      const kept = focused && this.contains(focused) ? focused.id : "";
      this.replaceChildren(...fresh.childNodes);
      if (kept) /** @type {HTMLElement|null} */ (this.querySelector(`#${CSS.escape(kept)}`))?.focus();
    }
    this.refresh();
  }
}

/**
 * A part that folds away; the browser keeps which are open.
 * @param {string} id
 * @param {string|Node} title
 * @param {...(Node|null|false)} children
 * @returns {HTMLElement}
 */
export function folding(id, title, ...children) {
  return h(
    "details",
    {
      id,
      open: localStorage.getItem(OPEN + id) === "yes",
      ontoggle: (/** @type {Event} */ event) => {
        const { open } = /** @type {HTMLDetailsElement} */ (event.target);
        localStorage.setItem(OPEN + id, open ? "yes" : "no");
      },
    },
    h("summary", {}, title),
    ...children,
  );
}

/**
 * @param {string} name of the custom element
 * @param {CustomElementConstructor} type
 */
export function define(name, type) {
  if (!customElements.get(name)) customElements.define(name, type);
}

/**
 * @typedef {{id: string, text: string, title: string, disabled?: boolean, onclick: () => unknown}} Deed a button
 */

/**
 * What can be done with the marks on an image.
 * @param {Deed} deed what they were made for
 * @param {...Deed} lesser what takes them away
 * @returns {HTMLElement} a row of buttons
 */
export function deeds(deed, ...lesser) {
  const button = (/** @type {Deed} */ { text, ...attributes }, /** @type {string} */ look) => h("button", { class: look, ...attributes }, text);
  return h("div", { class: "row" }, button(deed, "primary"), ...lesser.map((one) => button(one, "small")));
}
