// The segments: what is drawn, how large and dense it is, how much was changed, and what of it is shown.

import { activeSegment, segmentShown, setOpacity, showSegment } from "./ohif.js";
import { Section, define } from "./section.js";
import { addSegment, goToSegment, listedSegments } from "./segments.js";
import { session } from "./session.js";
import { sizeText } from "./sizes.js";
import { h, words } from "./view.js";

const OPACITY = "carina.opacity";
const NONE = "–";

class SegmentsSection extends Section {
  get follows() {
    return [session];
  }

  content() {
    const { work } = session;
    const segments = listedSegments();
    if (!work) return [];
    const missing = work.labels.filter((label) => !segments.some((row) => row.label === label));
    const active = activeSegment(work.segmentationId);
    return [
      this.#head(segments.map(({ label }) => label)),
      h("ul", {}, ...segments.map(({ label, measure }) => this.#row(label, measure, label.index === active))),
      missing.length ? this.#add(missing) : null,
    ];
  }

  /** @param {import("./client.js").Label[]} labels */
  #head(labels) {
    const id = session.work?.segmentationId ?? "";
    const shown = labels.some(({ index }) => segmentShown(id, index));
    const known = localStorage.getItem(OPACITY);
    if (known) setOpacity(Number(known));
    return h(
      "div",
      { class: "head" },
      h("h3", {}, "Segments"),
      h("input", {
        id: "opacity",
        type: "range",
        min: 0,
        max: 1,
        step: 0.05,
        value: known ?? 0.5,
        title: "Opacity",
        "aria-label": "Opacity of the segments",
        oninput: (/** @type {Event} */ event) => {
          const { value } = /** @type {HTMLInputElement} */ (event.target);
          localStorage.setItem(OPACITY, value);
          setOpacity(Number(value));
        },
      }),
      h(
        "button",
        { id: "all-shown", class: "small", onclick: () => showAll(!shown) },
        shown ? "Hide all" : "Show all",
      ),
      h(
        "span",
        { class: "columns", "aria-hidden": "true" },
        h("span", { title: "Size" }, session.work?.measuring.unit.heading),
        h("span", { title: "Mean of the image inside" }, session.work?.series.Modality === "CT" ? "HU" : "mean"),
        h("span", { title: `Overlap with ${session.work?.title}` }, "Dice"),
      ),
    );
  }

  /**
   * @param {import("./client.js").Label} label
   * @param {import("./measures.js").Measure|undefined} measure
   * @param {boolean} active
   */
  #row({ name, index, colour }, measure, active) {
    const id = session.work?.segmentationId ?? "";
    const shown = segmentShown(id, index);
    const swatch = h("span", { class: "swatch", "data-colour": colour.join(" ") });
    swatch.style.backgroundColor = shown ? `rgb(${colour.join(" ")})` : "transparent";
    swatch.style.borderColor = `rgb(${colour.join(" ")})`;
    const { size, hu, dice } = measured(measure);
    const said = [`${size} ${session.work?.measuring.unit.shown}`, hu !== NONE && `mean ${hu}`, dice !== NONE && `Dice ${dice}`].filter(Boolean).join(", ");
    return h(
      "li",
      { class: active ? "active" : "" },
      h(
        "button",
        {
          id: `shown-${index}`,
          class: "eye",
          "aria-pressed": String(shown),
          "aria-label": `Show ${words(name)}`,
          title: shown ? "Hide" : "Show",
          onclick: () => {
            showSegment(id, index, !shown);
            session.redraw();
          },
        },
        swatch,
      ),
      h(
        "button",
        {
          id: `segment-${index}`,
          class: "segment",
          title: `${words(name)}: draw this one, and show its largest slice`,
          "aria-label": `${words(name)}, ${said}`,
          "aria-current": active ? "true" : null,
          onclick: () => goToSegment(index),
        },
        h("span", { class: "name" }, words(name)),
        h("span", { class: "size" }, size),
        h("span", { class: "density" }, hu),
        h("span", { class: `overlap${Number(dice) < 1 ? " changed" : ""}` }, dice),
      ),
    );
  }

  /** @param {import("./client.js").Label[]} missing */
  #add(missing) {
    return h(
      "select",
      {
        id: "add",
        "aria-label": "Add a structure",
        onchange: (/** @type {Event} */ event) => {
          const name = /** @type {HTMLSelectElement} */ (event.target).value;
          const label = missing.find((candidate) => candidate.name === name);
          if (label) addSegment(label);
        },
      },
      h("option", { value: "" }, "Add a structure…"),
      ...missing.map(({ name }) => h("option", { value: name }, words(name))),
    );
  }
}

/**
 * @param {import("./measures.js").Measure|undefined} measure
 * @returns {{size: string, hu: string, dice: string}} as numbers a person reads; a change never rounds to 1
 */
function measured(measure) {
  if (!measure) return { size: NONE, hu: NONE, dice: NONE };
  const { size, hu, dice } = measure;
  return {
    size: sizeText(size),
    hu: hu === null ? NONE : String(Math.round(hu)),
    dice: dice === null ? NONE : dice === 1 ? "1" : Math.min(dice, 0.999).toFixed(3),
  };
}

/** @param {boolean} shown of every segment */
export function showAll(shown) {
  const { work } = session;
  if (!work) return;
  for (const { label } of listedSegments()) showSegment(work.segmentationId, label.index, shown);
  session.redraw();
}

define("carina-segments", SegmentsSection);
