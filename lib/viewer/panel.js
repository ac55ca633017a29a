// The panel: its parts from top to bottom, and what the server or the browser has to say.

import "./draft_section.js";
import "./findings_section.js";
import "./models_section.js";
import "./prompts_section.js";
import "./review_section.js";
import "./scribbles_section.js";
import { define } from "./section.js";
import "./segments_section.js";
import "./series_section.js";
import { session } from "./session.js";
import { help, listen, shield } from "./shortcuts.js";
import "./training_section.js";
import { h } from "./view.js";

const SECTIONS = ["series", "draft", "segments", "prompts", "scribbles", "findings", "review", "training", "models"];

class CarinaPanel extends HTMLElement {
  #root = this.attachShadow({ mode: "open" });
  #tell = () => this.#say();
  /** @type {() => void} */ #deafen = () => {};

  constructor() {
    super();
    shield(this.#root);
  }

  connectedCallback() {
    session.addEventListener("change", this.#tell);
    this.#deafen = listen(this.#root);
    this.#root.replaceChildren(
      h("link", { rel: "stylesheet", href: new URL("panel.css", import.meta.url).pathname }),
      h(
        "main",
        { "aria-label": "carina" },
        this.#who(),
        ...SECTIONS.map((id) => h(`carina-${id}`, { class: "section" })),
        h("p", { id: "message", role: "status", "aria-live": "polite" }),
      ),
    );
    session.start();
  }

  disconnectedCallback() {
    session.removeEventListener("change", this.#tell);
    this.#deafen();
  }

  #who() {
    const input = h("input", {
      id: "user",
      value: session.user,
      placeholder: "your name",
      autocomplete: "off",
      maxlength: 64,
      onchange: (/** @type {Event} */ event) => {
        session.user = /** @type {HTMLInputElement} */ (event.target).value;
      },
    });
    const keys = h(
      "button",
      { id: "keys", class: "small", "aria-label": "Keys", title: "Keys (?)", onclick: () => help(this.#root) },
      "?",
    );
    return h("header", {}, h("label", { for: "user" }, "Annotator"), input, keys);
  }

  #say() {
    const message = /** @type {HTMLElement} */ (this.#root.getElementById("message"));
    const text = session.busy ? `${session.busy}…` : (session.message?.text ?? "");
    message.className = session.busy ? "info" : (session.message?.kind ?? "");
    if (message.textContent !== text) message.textContent = text;
  }
}

define("carina-panel", CarinaPanel);
