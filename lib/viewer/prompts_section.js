// Points for interactive tasks: where a segment is missing, and where nothing belongs; then the draft follows them.

import { BACKGROUND } from "./clicks.js";
import { prompts } from "./prompts.js";
import { Section, deeds, define } from "./section.js";
import { chosenSegment } from "./segments.js";
import { session } from "./session.js";
import { h, words } from "./view.js";

class PromptsSection extends Section {
  get follows() {
    return [prompts];
  }

  content() {
    const { task, placing, points } = prompts;
    const segment = chosenSegment();
    if (!task) return [];
    const inside = segment ? words(segment.name) : "a segment";
    const on = (/** @type {boolean} */ pressed) => ({ "aria-pressed": String(pressed) });
    return [
      h("h3", {}, "Points"),
      h("p", { class: "quiet" }, "Click on the image where the segment is missing, or where nothing belongs."),
      h(
        "div",
        { class: "row" },
        h(
          "button",
          {
            id: "points-inside",
            ...on(placing !== null && placing !== BACKGROUND),
            disabled: !segment,
            onclick: () => prompts.place({ outside: false }),
          },
          `In ${inside}`,
        ),
        h(
          "button",
          { id: "points-outside", ...on(placing === BACKGROUND), onclick: () => prompts.place({ outside: true }) },
          "Background",
        ),
      ),
      points.length ? h("p", { id: "points", role: "status" }, counted(points.map(({ label }) => label))) : null,
      points.length ? this.#actions() : null,
    ];
  }

  #actions() {
    return deeds(
      {
        id: "points-correct",
        text: "Correct",
        title: "Draft again, following the points",
        disabled: Boolean(session.running || session.busy),
        onclick: () => prompts.correct(),
      },
      { id: "points-undo", text: "Undo", title: "Take the newest point away", onclick: () => prompts.undo() },
      { id: "points-clear", text: "Clear", title: "Take all points away", onclick: () => prompts.clear() },
    );
  }
}

/** @param {string[]} labels of the points @returns {string} how many each has */
function counted(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) => `${words(label)} ${count}`).join(" · ");
}

define("carina-prompts", PromptsSection);
