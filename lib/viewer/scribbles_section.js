// Strokes inside of a structure and outside of it, and boxes around it; then its segment is cut out by them.

import { scribbles } from "./scribbles.js";
import { Section, deeds, define } from "./section.js";
import { chosenSegment } from "./segments.js";
import { session } from "./session.js";
import { h, words } from "./view.js";

class ScribblesSection extends Section {
  get follows() {
    return [scribbles];
  }

  content() {
    const { task, painting, boxing } = scribbles;
    const segment = chosenSegment();
    if (!task) return [];
    const name = segment ? words(segment.name) : "a segment";
    const button = (/** @type {"inside"|"outside"} */ where) =>
      h(
        "button",
        {
          id: `strokes-${where}`,
          "aria-pressed": String(painting === where),
          disabled: !segment,
          onclick: () => scribbles.paint(where),
        },
        where === "inside" ? `Inside ${name}` : "Outside",
      );
    return [
      h("h3", {}, "Scribbles"),
      h(
        "p",
        { class: "quiet" },
        `Paint a few strokes inside ${name} and outside of it, or draw a box around it on its first and its last slice.`,
      ),
      h(
        "div",
        { class: "row" },
        button("inside"),
        button("outside"),
        h(
          "button",
          { id: "strokes-box", "aria-pressed": String(boxing), disabled: !segment, onclick: () => scribbles.box() },
          "Box",
        ),
      ),
      scribbles.any ? this.#actions() : null,
    ];
  }

  #actions() {
    const waiting = Boolean(session.running || session.busy);
    return deeds(
      {
        id: "strokes-cut",
        text: "Cut out",
        title: "Cut the structure out by strokes and boxes",
        disabled: waiting || !chosenSegment(),
        onclick: () => scribbles.cut(),
      },
      {
        id: "strokes-clear",
        text: "Clear",
        title: "Take all strokes and boxes away",
        disabled: waiting,
        onclick: () => scribbles.clear(),
      },
    );
  }
}

define("carina-scribbles", ScribblesSection);
