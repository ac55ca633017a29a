// Training: from which cases, how it goes, and what the gate said.

import { curve } from "./curve.js";
import { review } from "./review.js";
import { Section, define, folding } from "./section.js";
import { session } from "./session.js";
import { begun, training } from "./training.js";
import { h, words } from "./view.js";

class TrainingSection extends Section {
  get follows() {
    return [session, training, review];
  }

  content() {
    const { task } = session;
    if (!task) return [];
    const { active, epochs, verdict, problem } = training;
    const title = active ? `Training ${words(task.name)}…` : "Training";
    return [
      folding(
        "training",
        title,
        this.#cases(),
        training.job ? h("p", { id: "training-begun", class: "quiet" }, begun(training.job)) : null,
        epochs.length ? curve(epochs) : null,
        active ? h("progress", { max: 1, "aria-label": "Training" }) : null,
        verdict ? h("p", { id: "verdict", class: training.job.result?.promoted ? "good" : "" }, verdict) : null,
        problem ? h("p", { class: "warning" }, problem) : null,
        this.#buttons(),
      ),
    ];
  }

  refresh() {
    const { progress } = training;
    const bar = /** @type {HTMLProgressElement|null} */ (this.querySelector("progress"));
    const phase = this.querySelector("#training-phase");
    if (bar && progress?.fraction) bar.value = progress.fraction;
    if (phase) phase.textContent = progress ? `${progress.message}${toGo(progress.eta_s)}` : "waiting for its turn";
  }

  #cases() {
    const { states } = review.queue ?? {};
    if (!states) return null;
    const learnt = [`${states.accepted} accepted`, `${states.submitted} submitted`].join(" and ");
    return h("p", { class: "quiet" }, `Cases of this task: ${learnt}. Rejected and skipped ones do not train.`);
  }

  #buttons() {
    if (training.active) {
      return h(
        "div",
        { class: "row" },
        h("span", { id: "training-phase", class: "quiet", "aria-live": "off" }),
        h("button", { id: "training-cancel", onclick: () => training.cancel() }, "Cancel"),
      );
    }
    const resume = h("button", { id: "training-resume", onclick: () => training.resume() }, "Go on");
    return h(
      "div",
      { class: "row" },
      h("button", { id: "train", disabled: Boolean(session.busy), onclick: () => training.start() }, "Train"),
      training.resumable && resume,
    );
  }
}

/** @param {number|null} seconds @returns {string} */
function toGo(seconds) {
  if (seconds === null) return "";
  if (seconds < 90) return `, ${Math.max(1, Math.round(seconds))} s to go`;
  return `, ${Math.round(seconds / 60)} min to go`;
}

define("carina-training", TrainingSection);
