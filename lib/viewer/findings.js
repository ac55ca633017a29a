// What a task of findings says of the open image or of places in it, and what the reader answers.

import { choices } from "./choices.js";
import * as client from "./client.js";
import { tells } from "./fit.js";
import * as heat from "./heat.js";
import { placeKey, placePrompts } from "./places.js";
import * as pointing from "./pointing.js";
import { review } from "./review.js";
import { session } from "./session.js";
import { NOTHING, Sheets, about, saidBefore, storedOf } from "./sheets.js";

/** @typedef {import("./sheets.js").Sheet} Sheet */
/** @typedef {import("./sheets.js").Subject} Subject */
/** @typedef {import("./sheets.js").Answer} Answer */
/** @typedef {import("./places.js").Place} Place */

class Findings extends EventTarget {
  #sheets = new Sheets();
  /** @type {Set<string>} series and tasks whose places are asked for */ #atPlaces = new Set();
  /** @type {Place|null} that was chosen or pointed at last */ #chosen = null;

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    window.addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  /** @returns {client.Task[]} tasks that tell findings of the open series */
  get fitting() {
    const { series, unfit, offers } = session;
    return unfit || !series ? [] : offers.tasks.filter((task) => tells(task, series.Modality));
  }

  /** @returns {client.Task|null} the one chosen last; else one with a model */
  get task() {
    const { fitting } = this;
    return fitting.find(({ name }) => name === choices.findings) ?? fitting.find(({ served }) => served) ?? fitting[0] ?? null;
  }

  /** @returns {Place[]|null} those asked about first, then what was pointed at; null until places are asked for */
  get places() {
    const { task } = this;
    const { series } = session;
    if (!task || !series || !this.#atPlaces.has(key(series.SeriesInstanceUID, task))) return null;
    const asked = this.#sheets.atPlaces(task, series.SeriesInstanceUID).map(({ place }) => /** @type {Place} */ (place));
    const keys = new Set(asked.map(placeKey));
    return [...asked, ...pointing.pointedAt(series).filter((place) => !keys.has(placeKey(place)))];
  }

  /** @returns {Place|null} what is asked about now */
  get place() {
    const places = /** @type {Place[]} */ (this.places ?? []);
    return places.find((place) => placeKey(place) === placeKey(this.#chosen)) ?? places.at(-1) ?? null;
  }

  /** @returns {Subject|null} what is asked about now, of the open series */
  get subject() {
    const { task, place } = this;
    const { series } = session;
    if (!task || !series || (task.crop_mm && !place)) return null;
    return { task, image: series.SeriesInstanceUID, place };
  }

  /** @returns {Sheet|null} of the subject */
  get sheet() {
    const { subject } = this;
    return subject && this.#sheets.of(subject);
  }

  /** @param {Place} place @returns {Sheet|null} of a place in the open series */
  sheetAt(place) {
    const { subject } = this;
    return subject && this.#sheets.of({ ...subject, place });
  }

  /** @returns {boolean} whether an answer was not submitted */
  get unsaved() {
    return this.#sheets.unsaved;
  }

  /** @param {string} name */
  choose(name) {
    choices.findings = name;
    session.redraw();
  }

  /** Have clicks mark what is asked about, and bring back what was answered before; asked for again, have them do so no more. */
  async point() {
    const { task } = this;
    const { series } = session;
    if (!task?.crop_mm || !series || session.busy) return;
    const image = series.SeriesInstanceUID;
    if (!this.places) {
      await session.attempt("looking for answers", async () => {
        const stored = await storedOf(task, image);
        const places = new Map(stored.flatMap(({ place }) => (place ? [[placeKey(place), place]] : [])));
        for (const place of places.values()) {
          const versions = about(stored, place);
          this.#sheets.open({ task, image, place }, saidBefore(versions[versions.length - 1]), versions);
        }
        this.#atPlaces.add(key(image, task));
      });
    }
    const [{ colour }] = task.labels;
    pointing.point({ says: () => ({ label: "place", colour, series: image }), changed: () => this.#pointed() });
    this.#changed();
  }

  /** @param {Place} place to ask about, and to show */
  goTo(place) {
    this.#chosen = place;
    if (session.series) pointing.goTo(session.series, place);
    this.#changed();
  }

  /** Take a place away that nothing is stored about. */
  forget() {
    const { place, sheet } = this;
    if (!place || !session.series || sheet?.versions) return;
    if (sheet) {
      heat.hide(sheet);
      this.#sheets.close(sheet);
    }
    pointing.forget(session.series, place);
    this.#changed();
  }

  /** Have the model look at the open image, or at the place in it. */
  async ask() {
    const { subject } = this;
    if (!subject) return;
    const { task } = subject;
    await session.ask(task, {
      request: async () => ({ prompts: placePrompts(subject.place) }),
      take: async ({ params }) => {
        const { prediction: told, model_version: model, measurements: measured = [] } = params;
        await this.#open(subject, { told, model, measured });
        task.served = params.model_version ?? task.served;
        session.message = { kind: "info", text: `Told by ${task.name}, model ${params.model_version}. Answer, then submit.` };
      },
    });
  }

  /** Answer without a model. */
  async begin() {
    const { subject } = this;
    if (subject) await session.attempt("preparing", () => this.#open(subject, NOTHING));
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

  /** @returns {import("./sheets.js").Told[]} findings without an answer of which the model is sure */
  get agreeable() {
    const { sheet } = this;
    return sheet ? [...sheet.told.values()].filter(({ label, state }) => state !== "uncertain" && !sheet.answers.has(label)) : [];
  }

  /** Answer as the model does, where it is sure and the reader has not said anything. */
  agree() {
    for (const { label, state } of this.agreeable) this.answer(label, state === "positive");
  }

  /**
   * Show what speaks for a finding, or hide it again.
   * @param {string} finding
   */
  async look(finding) {
    const { sheet } = this;
    const { series } = session;
    if (!sheet || !series) return;
    if (this.shown === finding) heat.hide(sheet);
    else await heat.show(series, sheet, finding);
    this.#changed();
  }

  /** @returns {string|null} the finding whose heat is on screen */
  get shown() {
    return this.sheet && heat.shown(this.sheet);
  }

  /** Send the answers as a new version; the server brings it to the PACS. */
  async submit() {
    const { sheet } = this;
    if (!sheet || !session.named("Findings must say who found them.")) return;
    await session.attempt("submitting", async () => {
      sheet.unsaved = false; // an answer from here on counts as new
      try {
        const { image, task, place, answers } = sheet;
        const said = { image, findings: Object.fromEntries(answers), where: placePrompts(place) };
        const stored = await client.submitFindings({ ...said, task: task.name, user: session.user });
        sheet.versions = about(await storedOf(task, image), place).length;
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

  /** @param {Subject} subject @param {import("./sheets.js").Said} said */
  async #open(subject, said) {
    this.#sheets.open(subject, said, about(await storedOf(subject.task, subject.image), subject.place));
    this.#chosen = subject.place;
    this.#changed();
  }

  /** The mark that was set or moved last is what is asked about. */
  #pointed() {
    const { series } = session;
    if (!series) return;
    if (pointing.tidy(series)) session.tell("bad", "A place must be on the image. Point again.");
    this.#chosen = pointing.pointedAt(series).at(-1) ?? this.#chosen;
    this.#changed();
  }

  /** While findings of the open image are answered, its case is theirs. */
  #look() {
    if (!this.places && pointing.pointing()) pointing.rest(); // nothing here is asked about places any more
    this.#mark();
    const answering = this.sheet?.task ?? null;
    if (answering === session.answering) return this.dispatchEvent(new Event("change"));
    session.answering = answering;
    session.redraw();
  }

  /** Have every place on screen that something was said about, with what. */
  #mark() {
    const { task, places } = this;
    const { series } = session;
    if (!task || !series || !places) return;
    places.forEach((place, index) => {
      const sheet = this.sheetAt(place);
      const said = sheet && likeliest(sheet);
      const label = said ? `place ${index + 1}, ${percent(said)}` : `place ${index + 1}`;
      if (sheet) pointing.hold(series, place, { label, colour: task.labels[0].colour });
    });
  }

  #changed() {
    session.redraw();
  }
}

/** @param {string} image @param {client.Task} task */
const key = (image, task) => `${image} ${task.name}`;

/** @param {Sheet} sheet @returns {import("./sheets.js").Told|null} what the model thinks likeliest; null without a model */
export function likeliest({ told }) {
  return [...told.values()].sort((one, other) => other.score - one.score)[0] ?? null;
}

/** @param {import("./sheets.js").Told} told @returns {string} */
export const percent = ({ score }) => `${Math.round(100 * score)} %`;

export const findings = new Findings();
