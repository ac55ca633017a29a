// What a task of findings says of the open image, and what the reader answers: kept per image while the page is open.

import { choices } from "./choices.js";
import * as client from "./client.js";
import { tells } from "./fit.js";
import { activeSegment } from "./ohif.js";
import { review } from "./review.js";
import * as segmentation from "./segmentation.js";
import { session } from "./session.js";
import { words } from "./view.js";

/**
 * @typedef {object} Told what the model says of one finding
 * @property {string} label
 * @property {number} score calibrated probability, 0–1
 * @property {"positive"|"negative"|"uncertain"} state
 * @property {boolean} calibrated
 */

/**
 * @typedef {object} Measured what was measured on the image
 * @property {string} meaning
 * @property {number} value
 * @property {string} unit UCUM; "1" for none
 */

/** @typedef {boolean|null} Answer null for "unsure" */

/**
 * What is said of one image for one task.
 * @typedef {object} Sheet
 * @property {client.Task} task
 * @property {string} image
 * @property {Map<string, Told>} told empty without a model
 * @property {string|null} model its version
 * @property {Measured[]} measured
 * @property {Map<string, Answer>} answers the reader's; a finding that is missing was not looked for
 * @property {number} versions stored so far
 * @property {boolean} unsaved
 * @property {{finding: string, segmentationId: string}|null} heat shown
 */

class Findings extends EventTarget {
  /** @type {Map<string, Sheet>} by series and task */ #sheets = new Map();

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    window.addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  /** @returns {client.Task[]} tasks that tell findings of the open series */
  get fitting() {
    const { series, unfit, tasks } = session;
    return unfit || !series ? [] : tasks.filter((task) => tells(task, series.Modality));
  }

  /** @returns {client.Task|null} the one chosen last; else one with a model */
  get task() {
    const { fitting } = this;
    return fitting.find(({ name }) => name === choices.findings) ?? fitting.find(({ served }) => served) ?? fitting[0] ?? null;
  }

  /** @returns {Sheet|null} of the open series */
  get sheet() {
    const { task } = this;
    const { series } = session;
    return (task && series && this.#sheets.get(key(series.SeriesInstanceUID, task))) ?? null;
  }

  /** @returns {boolean} whether an answer was not submitted */
  get unsaved() {
    return [...this.#sheets.values()].some(({ unsaved }) => unsaved);
  }

  /** @param {string} name */
  choose(name) {
    choices.findings = name;
    session.redraw();
  }

  /** Have the model look at the open image. */
  async ask() {
    const { task } = this;
    const { series } = session;
    if (!task || !series) return;
    await session.ask(task, {
      request: async () => ({ prompts: {} }),
      take: async ({ params }) => {
        const { prediction: told, model_version: model, measurements: measured = [] } = params;
        await this.#open(task, series.SeriesInstanceUID, { told, model, measured });
        task.served = params.model_version ?? task.served;
        session.message = { kind: "info", text: `Told by ${task.name}, model ${params.model_version}. Answer, then submit.` };
      },
    });
  }

  /** Answer without a model. */
  async begin() {
    const { task } = this;
    const { series } = session;
    if (!task || !series) return;
    const nothing = { told: [], model: null, measured: [] };
    await session.attempt("preparing", () => this.#open(task, series.SeriesInstanceUID, nothing));
  }

  /**
   * @param {string} finding
   * @param {Answer} answer the same again takes it back
   */
  answer(finding, answer) {
    const { sheet } = this;
    if (!sheet) return;
    if (sheet.answers.has(finding) && sheet.answers.get(finding) === answer) sheet.answers.delete(finding);
    else sheet.answers.set(finding, answer);
    sheet.unsaved = true;
    this.#changed();
  }

  /** @returns {Told[]} findings without an answer of which the model is sure */
  get agreeable() {
    const { sheet } = this;
    return sheet ? [...sheet.told.values()].filter(({ label, state }) => state !== "uncertain" && !sheet.answers.has(label)) : [];
  }

  /** Answer as the model does, where it is sure and the reader has not said anything. */
  agree() {
    for (const { label, state } of this.agreeable) this.answer(label, state === "positive");
  }

  /**
   * Show what speaks for a finding, or hide it again. It is a picture: no work begins with it, and it is never submitted.
   * @param {string} finding
   */
  async look(finding) {
    const { sheet } = this;
    const { series } = session;
    if (!sheet || !series) return;
    if (this.shown === finding) return this.#hide(sheet);
    await session.ask(sheet.task, {
      request: async () => ({ prompts: { heatmap: finding } }),
      take: async ({ volume }) => {
        this.#hide(sheet);
        const labels = sheet.task.labels.filter(({ name }) => name === finding);
        const drawn = session.work && activeSegment(session.work.segmentationId);
        const title = `What speaks for ${words(finding)}: no segmentation`;
        const segmentationId = await segmentation.show(series, { title, labels, volume });
        sheet.heat = { finding, segmentationId };
        if (session.work && drawn) segmentation.activate(session.work.segmentationId, drawn);
      },
    });
    this.#changed();
  }

  /** @returns {string|null} the finding whose heat is on screen */
  get shown() {
    const heat = this.sheet?.heat;
    return heat && segmentation.exists(heat.segmentationId) ? heat.finding : null;
  }

  /** Send the answers as a new version; the server brings it to the PACS. */
  async submit() {
    const { sheet } = this;
    if (!sheet || !session.named("Findings must say who found them.")) return;
    await session.attempt("submitting", async () => {
      sheet.unsaved = false; // an answer from here on counts as new
      try {
        const { image, task, answers } = sheet;
        const findings = Object.fromEntries(answers);
        const stored = await client.submitFindings({ image, findings, task: task.name, user: session.user });
        sheet.versions = (await storedOf(image, task)).length;
        const text = `Findings stored as version ${sheet.versions}`;
        session.message = { kind: "good", text: `${text}. On their way to the PACS.` };
        session.followDelivery(stored.label, text);
      } catch (error) {
        sheet.unsaved = true;
        throw error;
      }
    });
    this.#changed();
    await review.refresh();
  }

  /**
   * @param {client.Task} task
   * @param {string} image
   * @param {{told: Told[], model: string|null, measured: Measured[]}} what
   */
  async #open(task, image, { told: said, model, measured }) {
    const before = this.#sheets.get(key(image, task));
    const stored = await storedOf(image, task);
    this.#sheets.set(key(image, task), {
      task,
      image,
      told: new Map(said.map((one) => [one.label, one])),
      model,
      measured,
      answers: before?.answers ?? answersOf(stored.at(-1)),
      versions: stored.length,
      unsaved: before?.unsaved ?? false,
      heat: before?.heat ?? null,
    });
    this.#changed();
  }

  /** @param {Sheet} sheet */
  #hide(sheet) {
    if (sheet.heat) segmentation.remove(sheet.heat.segmentationId);
    sheet.heat = null;
    this.#changed();
  }

  /** While findings of the open image are answered, its case is theirs. */
  #look() {
    const answering = this.sheet?.task ?? null;
    if (answering === session.answering) return this.dispatchEvent(new Event("change"));
    session.answering = answering;
    session.redraw();
  }

  #changed() {
    session.redraw();
  }
}

/** @param {string} image @param {client.Task} task */
const key = (image, task) => `${image} ${task.name}`;

/**
 * @param {string} image
 * @param {client.Task} task
 * @returns {Promise<client.ToldVersion[]>} what readers said before, oldest first
 */
async function storedOf(image, task) {
  const versions = await client.versions(image);
  return versions.filter(
    (/** @type {client.ToldVersion & {task: string, tag: string, withdrawn: boolean}} */ version) =>
      version.task === task.name && version.tag === "final" && !version.withdrawn,
  );
}

/** @param {client.ToldVersion|undefined} version @returns {Map<string, Answer>} */
function answersOf(version) {
  const unsure = (version?.unsure ?? []).map((name) => /** @type {[string, Answer]} */ ([name, null]));
  return new Map([...Object.entries(version?.findings ?? {}), ...unsure]);
}

export const findings = new Findings();
