// Model versions: when they were made, how good they are, which is served, and another one to serve.

import { models } from "./models.js";
import { question } from "./question.js";
import { Section, define, folding } from "./section.js";
import { session } from "./session.js";
import { h } from "./view.js";

class ModelsSection extends Section {
  get follows() {
    return [models];
  }

  content() {
    if (!session.learner) return [];
    const { versions, served, change, problem } = models;
    const title = served ? `Models, ${served} served` : "Models";
    return [
      folding(
        "models",
        title,
        problem ? h("p", { class: "warning" }, problem) : null,
        versions.length
          ? h("ul", {}, ...versions.map((version) => this.#row(version)))
          : h("p", { class: "quiet" }, "No version yet. Train one."),
        change ? h("p", { class: "quiet" }, `Last change by ${change.by}: ${change.reason}.`) : null,
        this.#rollback(),
      ),
    ];
  }

  /** @param {import("./models.js").Version} version */
  #row({ version, created, quality, has_weights: there, decision }) {
    const served = version === models.served;
    const facts = [
      new Date(created).toLocaleDateString(),
      quality ? `${quality.metric} ${quality.mean.toFixed(3)}` : "not measured",
      ...(there ? [] : ["weights removed"]),
    ];
    return h(
      "li",
      { class: `version${served ? " active" : ""}`, title: decision?.reason ?? "" },
      h("span", { class: "name" }, version),
      h("span", { class: "quiet" }, facts.join(" · ")),
      served
        ? h("span", { class: "state accepted" }, "served")
        : models.changeable && there
          ? h("button", { id: `promote-${version}`, class: "small", onclick: () => this.#promote(version) }, "Serve…")
          : null,
    );
  }

  #rollback() {
    const { before, changeable } = models;
    if (!changeable) return h("p", { class: "quiet" }, "This server lets only `carina models` choose the version.");
    if (!before) return null;
    const ask = async () => {
      const reason = await question(/** @type {ShadowRoot} */ (this.getRootNode()), {
        title: `Roll back to ${before}?`,
        text: `${before} is served again from the next draft on, for everybody. ${models.served} stays stored.`,
        yes: "Roll back",
        reason: "optional",
      });
      if (reason !== null) await models.rollback(reason);
    };
    return h("button", { id: "rollback", onclick: ask }, `Roll back to ${before}…`);
  }

  /** @param {string} version */
  async #promote(version) {
    const reason = await question(/** @type {ShadowRoot} */ (this.getRootNode()), {
      title: `Serve ${version}?`,
      text: `It is served from the next draft on, for everybody, whatever the gate said of it.`,
      yes: "Serve",
      reason: "optional",
    });
    if (reason !== null) await models.promote(version, reason);
  }
}

define("carina-models", ModelsSection);
