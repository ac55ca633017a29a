// The panel: shows the session and hands clicks to it.

import { session } from "./session.js";
import { h, words } from "./view.js";

class CarinaPanel extends HTMLElement {
  #root = this.attachShadow({ mode: "open" });
  #redraw = () => this.#draw();
  /** @type {Map<string, string>} section to what was drawn there last */ #drawn = new Map();

  connectedCallback() {
    session.addEventListener("change", this.#redraw);
    this.#drawn.clear();
    this.#root.replaceChildren(
      h("link", { rel: "stylesheet", href: new URL("panel.css", import.meta.url).pathname }),
      h(
        "main",
        { "aria-label": "carina" },
        this.#who(),
        ...["series", "draft", "segments", "finish"].map((id) => h("section", { id })),
        h("p", { id: "message", role: "status", "aria-live": "polite" }),
      ),
    );
    session.start();
  }

  disconnectedCallback() {
    session.removeEventListener("change", this.#redraw);
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
    return h("header", {}, h("label", { for: "user" }, "Annotator"), input);
  }

  #draw() {
    this.#put("series", ...this.#series());
    this.#put("draft", ...(session.series ? this.#draft() : []));
    this.#put("segments", ...(session.work ? this.#segments() : []));
    this.#put("finish", ...this.#finish());
    const message = /** @type {HTMLElement} */ (this.#root.getElementById("message"));
    const text = session.busy ? `${session.busy}…` : (session.message?.text ?? "");
    message.className = session.busy ? "info" : (session.message?.kind ?? "");
    if (message.textContent !== text) message.textContent = text;
    this.#followProgress();
  }

  /** The draft's progress changes in place: a button that is replaced while it is pressed would lose the click. */
  #followProgress() {
    const { running } = session;
    const bar = /** @type {HTMLProgressElement|null} */ (this.#root.querySelector("progress"));
    const phase = this.#root.getElementById("phase");
    if (!running || !bar || !phase) return;
    if (running.fraction) bar.value = running.fraction;
    else bar.removeAttribute("value");
    phase.textContent = running.text;
  }

  /**
   * Fill a section, unless the very same is there already, so that focus and open lists stay.
   * @param {string} id
   * @param {...HTMLElement} children
   */
  #put(id, ...children) {
    const section = /** @type {HTMLElement} */ (this.#root.getElementById(id));
    const fresh = h("section", { id }, ...children);
    if (fresh.innerHTML === this.#drawn.get(id)) return;
    this.#drawn.set(id, fresh.innerHTML);
    const focused = /** @type {HTMLElement|null} */ (this.#root.activeElement);
    const kept = focused && section.contains(focused) ? focused.id : "";
    section.replaceWith(fresh);
    if (kept) this.#root.getElementById(kept)?.focus();
  }

  #series() {
    const { series } = session;
    if (!series) {
      const why = session.unfit ?? "No image series is open. Choose one from the study's list.";
      return [h("p", { class: "quiet", id: "unfit" }, why)];
    }
    const count = series.imageIds?.length ?? 0;
    return [
      h("h2", {}, series.SeriesDescription || "Series without a description"),
      h(
        "p",
        { class: "quiet" },
        `${series.Modality} · ${count} ${count === 1 ? "image" : "images"}`,
        session.versions.length
          ? ` · ${session.versions.length} stored ${session.versions.length === 1 ? "version" : "versions"}`
          : "",
      ),
    ];
  }

  #draft() {
    const { fitting, task, running } = session;
    if (!task) {
      const why = session.unfit ?? `No task drafts ${session.series?.Modality} series. An engineer can add one.`;
      return [h("p", { class: "quiet", id: "unfit" }, why)];
    }
    const choices = fitting.map((candidate) =>
      h("option", { value: candidate.name, selected: candidate === task }, words(candidate.name)),
    );
    const heading = h("label", { for: "task", class: "heading" }, "Draft");
    const select = h(
      "select",
      {
        id: "task",
        disabled: Boolean(running),
        onchange: (/** @type {Event} */ event) => session.choose(/** @type {HTMLSelectElement} */ (event.target).value),
      },
      ...choices,
    );
    const about = h("p", { class: "quiet" }, `${task.description} `, h("span", { class: "model" }, this.#model()));
    if (running) {
      return [
        heading,
        select,
        about,
        h("progress", { max: 1, "aria-label": "Draft" }),
        h(
          "div",
          { class: "row" },
          h("span", { id: "phase", class: "quiet" }),
          h("button", { id: "cancel", onclick: () => session.cancel() }, "Cancel"),
        ),
      ];
    }
    return [
      heading,
      select,
      about,
      h(
        "div",
        { class: "row" },
        h("button", { id: "draft-start", class: "primary", onclick: () => session.draft() }, "Auto-segment"),
        session.versions.length
          ? h(
              "button",
              { id: "latest", onclick: () => session.openLatest(), title: "Go on from the newest stored version" },
              "Open stored",
            )
          : h("button", { id: "empty", onclick: () => session.begin(), title: "Draw without a draft" }, "Start empty"),
      ),
    ];
  }

  #model() {
    const { task, trained } = session;
    if (!task?.served)
      return task?.weights.length ? "Public weights, if they are installed." : "No model yet: label and train first.";
    const when = trained.get(task.name);
    return `Model ${task.served}${when ? `, ${new Date(when).toLocaleDateString()}` : ""}.`;
  }

  #segments() {
    const listed = session.segments;
    const missing = (session.work?.labels ?? []).filter((label) => !listed.some((row) => row.label === label));
    const rows = listed.map(({ label, size }) => {
      const swatch = h("span", { class: "swatch", "data-colour": label.colour.join(" ") });
      swatch.style.backgroundColor = `rgb(${label.colour.join(" ")})`;
      return h(
        "li",
        {},
        h(
          "button",
          {
            id: `segment-${label.index}`,
            class: "segment",
            title: "Draw this one, and show its largest slice",
            onclick: () => session.goTo(label.index),
          },
          swatch,
          h("span", { class: "name" }, words(label.name)),
          h("span", { class: "size" }, size ? `${size.ml < 10 ? size.ml.toFixed(1) : Math.round(size.ml)} ml` : "–"),
        ),
      );
    });
    const add = missing.length
      ? h(
          "select",
          {
            id: "add",
            "aria-label": "Add a structure",
            onchange: (/** @type {Event} */ event) => {
              const name = /** @type {HTMLSelectElement} */ (event.target).value;
              const label = missing.find((candidate) => candidate.name === name);
              if (label) session.addSegment(label);
            },
          },
          h("option", { value: "" }, "Add a structure…"),
          ...missing.map(({ name }) => h("option", { value: name }, words(name))),
        )
      : null;
    return [h("h3", {}, "Segments"), h("ul", {}, ...rows), ...(add ? [add] : [])];
  }

  #finish() {
    const { work, strategies, strategy, busy, running } = session;
    const waiting = Boolean(busy || running);
    const select = h(
      "select",
      {
        id: "strategy",
        "aria-label": "How the next case is chosen",
        title: "How the next case is chosen",
        onchange: (/** @type {Event} */ event) => {
          session.strategy = /** @type {HTMLSelectElement} */ (event.target).value;
        },
      },
      ...strategies.map(({ name }) => h("option", { value: name, selected: name === strategy }, words(name))),
    );
    return [
      h(
        "button",
        {
          id: "submit",
          class: work?.unsaved ? "primary" : "",
          disabled: !work || waiting,
          onclick: () => session.submit(),
        },
        work?.unsaved ? "Submit changes" : "Submit",
      ),
      h(
        "div",
        { class: "row" },
        h("button", { id: "next", disabled: waiting, onclick: () => session.next() }, "Next case"),
        select,
      ),
    ];
  }
}

if (!customElements.get("carina-panel")) customElements.define("carina-panel", CarinaPanel);
