// Findings of the open image: how likely the model calls each, what speaks for it, and the reader's answer.

import { findings, percent } from "./findings.js";
import { placesPart } from "./places_part.js";
import { Section, define } from "./section.js";
import { session } from "./session.js";
import { h, words } from "./view.js";

/** @typedef {import("./sheets.js").Sheet} Sheet */
/** @typedef {import("./sheets.js").Answer} Answer */

/** @type {{answer: Answer, id: string, text: string}[]} */
const ANSWERS = [
  { answer: true, id: "present", text: "Present" },
  { answer: false, id: "absent", text: "Absent" },
  { answer: null, id: "unsure", text: "Unsure" },
];

class FindingsSection extends Section {
  get follows() {
    return [findings];
  }

  content() {
    const { fitting, task, sheet, subject } = findings;
    if (!task) return [];
    const start = [h("p", { class: "quiet" }, task.description), subject && this.#start()];
    return [
      ...(fitting.length > 1
        ? [h("label", { for: "findings-task", class: "heading" }, "Findings"), this.#choice()]
        : [h("h3", {}, "Findings")]),
      ...(task.crop_mm ? placesPart() : []),
      ...(sheet ? this.#answers(sheet) : start),
    ];
  }

  #choice() {
    return h(
      "select",
      {
        id: "findings-task",
        disabled: waiting(),
        onchange: (/** @type {Event} */ event) => findings.choose(/** @type {HTMLSelectElement} */ (event.target).value),
      },
      ...findings.fitting.map((task) => h("option", { value: task.name, selected: task === findings.task }, words(task.name))),
    );
  }

  #start() {
    const title = "Say yourself what is there and what is not";
    return h(
      "div",
      { class: "row" },
      h("button", { id: "findings-ask", class: "primary", disabled: waiting(), onclick: () => findings.ask() }, "Ask for findings"),
      h("button", { id: "findings-begin", disabled: waiting(), title, onclick: () => findings.begin() }, "Answer alone"),
    );
  }

  /** @param {Sheet} sheet */
  #answers(sheet) {
    const { task, told, model, measured, unsaved, answers } = sheet;
    const score = (/** @type {string} */ name) => told.get(name)?.score ?? -1;
    const names = task.labels.map(({ name }) => name).sort((one, other) => score(other) - score(one));
    const sure = findings.agreeable.length;
    return [
      h("p", { class: "quiet" }, model ? `Model ${model}, most likely first. ${calibration(sheet)}` : "No model was asked."),
      h("ul", { id: "findings" }, ...names.map((name) => this.#finding(sheet, name))),
      measured.length ? h("p", { id: "measured", class: "quiet" }, `${measured.map(inWords).join(", ")}.`) : null,
      h(
        "div",
        { class: "row" },
        sure
          ? h(
              "button",
              { id: "findings-agree", title: "Answer as the model does where it is not uncertain", onclick: () => findings.agree() },
              `Agree on ${sure} more`,
            )
          : null,
        h("button", { id: "findings-again", disabled: waiting(), onclick: () => findings.ask() }, model ? "Ask again" : "Ask the model"),
      ),
      h(
        "button",
        {
          id: "findings-submit",
          class: unsaved ? "primary" : "",
          disabled: waiting() || !answers.size,
          onclick: () => findings.submit(),
        },
        unsaved ? "Submit findings" : sheet.versions ? `Stored as version ${sheet.versions}` : "Submit findings",
      ),
    ];
  }

  /** @param {Sheet} sheet @param {string} name */
  #finding({ told, answers }, name) {
    const said = told.get(name);
    const shown = findings.shown === name;
    const likely = said ? percent(said) : "";
    return h(
      "li",
      { class: "finding" },
      h(
        "button",
        {
          id: `heat-${name}`,
          class: "segment",
          disabled: !said || waiting(),
          "aria-pressed": String(shown),
          title: said ? `${shown ? "Hide" : "Show"} what speaks for it` : null,
          "aria-label": said ? `${words(name)}, ${likely}, ${said.state}: show what speaks for it` : words(name),
          onclick: () => findings.look(name),
        },
        h("span", { class: "name" }, words(name)),
        h("span", { class: "score" }, likely),
        h("span", { class: `said ${said?.state ?? ""}` }, said?.state ?? ""),
      ),
      h(
        "div",
        { class: "answers", role: "group", "aria-label": `Your answer on ${words(name)}` },
        ...ANSWERS.map(({ answer, id, text }) =>
          h(
            "button",
            {
              id: `${id}-${name}`,
              class: "small",
              "aria-pressed": String(answers.has(name) && answers.get(name) === answer),
              title: agreement(said, answer),
              onclick: () => findings.answer(name, answer),
            },
            text,
          ),
        ),
      ),
    );
  }
}

/** @param {Sheet} sheet @returns {string} */
function calibration({ told }) {
  const own = [...told.values()].filter(({ calibrated }) => !calibrated).length;
  return own ? `Too few cases to calibrate ${own === told.size ? "it" : `${own} of ${told.size}`}: take the numbers as an order.` : "";
}

/** @param {import("./sheets.js").Told|undefined} said @param {Answer} answer @returns {string|null} */
function agreement(said, answer) {
  if (!said || said.state === "uncertain" || answer === null) return null;
  return (said.state === "positive") === answer ? "Agrees with the model" : "Disagrees with the model";
}

/** @param {import("./sheets.js").Measured} one */
const inWords = ({ meaning, value, unit }) => (unit === "1" ? `${meaning} ${value}` : `${meaning} ${value} ${unit}`);

const waiting = () => Boolean(session.busy || session.running);

define("carina-findings", FindingsSection);
