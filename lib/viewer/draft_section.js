// Choosing a task, and letting it draft the open series.

import { Section, define } from "./section.js";
import { session } from "./session.js";
import { h, words } from "./view.js";

class DraftSection extends Section {
  get follows() {
    return [session];
  }

  content() {
    const { series, fitting, task, running } = session;
    if (!series) return [];
    if (!task) {
      const why = session.unfit ?? `No task drafts ${series.Modality} series. An engineer can add one.`;
      return [h("p", { class: "quiet", id: "unfit" }, why)];
    }
    const choices = fitting.map((candidate) =>
      h("option", { value: candidate.name, selected: candidate === task }, words(candidate.name)),
    );
    const select = h(
      "select",
      {
        id: "task",
        disabled: Boolean(running),
        onchange: (/** @type {Event} */ event) => session.choose(/** @type {HTMLSelectElement} */ (event.target).value),
      },
      ...choices,
    );
    return [
      h("label", { for: "task", class: "heading" }, "Draft"),
      select,
      h("p", { class: "quiet" }, `${task.description} `, h("span", { class: "model" }, this.#model())),
      ...(running ? this.#running() : [this.#start()]),
    ];
  }

  refresh() {
    const { running } = session;
    const bar = /** @type {HTMLProgressElement|null} */ (this.querySelector("progress"));
    const phase = this.querySelector("#phase");
    if (!running || !bar || !phase) return;
    if (running.fraction) bar.value = running.fraction;
    else bar.removeAttribute("value");
    phase.textContent = running.text;
  }

  #running() {
    return [
      h("progress", { max: 1, "aria-label": "Draft" }),
      h(
        "div",
        { class: "row" },
        h("span", { id: "phase", class: "quiet" }),
        h("button", { id: "cancel", onclick: () => session.cancel() }, "Cancel"),
      ),
    ];
  }

  #start() {
    const latest = { id: "latest", onclick: () => session.openLatest(), title: "Go on from the newest stored version" };
    return h(
      "div",
      { class: "row" },
      h("button", { id: "draft-start", class: "primary", onclick: () => session.draft() }, "Auto-segment"),
      session.versions.length
        ? h("button", latest, "Open stored")
        : h("button", { id: "empty", onclick: () => session.begin(), title: "Draw without a draft" }, "Start empty"),
    );
  }

  #model() {
    const { task } = session;
    const { trained } = session.offers;
    if (!task?.served) {
      return task?.weights.length ? "Public weights, if they are installed." : "No model yet: label and train first.";
    }
    const when = trained.get(task.name);
    return `Model ${task.served}${when ? `, ${new Date(when).toLocaleDateString()}` : ""}.`;
  }
}

define("carina-draft", DraftSection);
