// Points and boxes placed on the image with Cornerstone's own tools, which draw and move them; Backspace deletes one.

import { activeViewportId, cornerstone, services, tools, useTool } from "./ohif.js";
import { words } from "./view.js";

const USUAL = "WindowLevel";
const CHANGES = ["ANNOTATION_COMPLETED", "ANNOTATION_MODIFIED", "ANNOTATION_REMOVED", "TOOL_ACTIVATED"];

/**
 * What a mark says.
 * @typedef {object} Saying
 * @property {string} label
 * @property {[number, number, number]} colour
 * @property {string} series it is placed on, by its SeriesInstanceUID
 */

/**
 * @typedef {object} Mark
 * @property {string} id
 * @property {string} label
 * @property {number[][]} at its corners, LPS mm; a point has one
 */

/** Marks of one kind; each is placed on a series and remembers what it says. */
class Marks {
  /**
   * @param {string} tool the name that these marks have among Cornerstone's tools
   * @param {string} like Cornerstone's own tool that draws them
   */
  constructor(tool, like) {
    this.#tool = tool;
    this.#like = like;
  }

  /** @type {string} */ #tool;
  /** @type {string} */ #like;
  /** @type {() => void} */ #end = () => {};

  /**
   * Let the left mouse button place marks, in every viewport that shows slices.
   * @param {{says: () => Saying|null, changed: () => void}} callbacks what a new mark says (nothing: it is not wanted); and
   *   called when a mark is placed, moved or deleted, or another tool taken
   */
  place(callbacks) {
    this.#end(); // OHIF forgets listeners when a study is left
    this.#end = this.#follow(callbacks);
    const tool = this.#tool;
    tools().addTool(
      class extends tools()[this.#like] {
        static toolName = tool;
      },
    );
    for (const group of groups()) {
      if (!group.hasTool(tool)) group.addTool(tool, { getTextLines: (/** @type {any} */ data) => [words(data.label)] });
    }
    take(tool);
  }

  /** @returns {boolean} whether the left mouse button places marks */
  get placing() {
    const viewportId = activeViewportId();
    const group = viewportId ? services().toolGroupService.getToolGroupForViewport(viewportId) : null;
    return group?.getActivePrimaryMouseButtonTool() === this.#tool;
  }

  /**
   * @param {string} series its SeriesInstanceUID
   * @returns {Mark[]} the oldest first
   */
  on(series) {
    return tools()
      .annotation.state.getAllAnnotations()
      .filter((/** @type {any} */ { metadata, data }) => metadata.toolName === this.#tool && data.series === series)
      .map((/** @type {any} */ { annotationUID, data }) => ({
        id: annotationUID,
        label: data.label,
        at: data.handles.points.map((/** @type {ArrayLike<number>} */ point) => Array.from(point)),
      }));
  }

  /**
   * @param {{says: () => Saying|null, changed: () => void}} callbacks as of `place`
   * @returns {() => void} ends it
   */
  #follow({ says, changed }) {
    const { Events } = tools().Enums;
    const { eventTarget } = cornerstone();
    const added = (/** @type {any} */ { detail: { annotation } }) => {
      if (annotation.metadata.toolName !== this.#tool) return;
      const said = says();
      if (!said) return tools().annotation.state.removeAnnotation(annotation.annotationUID);
      const color = `rgb(${said.colour.join(", ")})`;
      Object.assign(annotation.data, { label: said.label, series: said.series });
      tools().annotation.config.style.setAnnotationStyles(annotation.annotationUID, {
        color,
        colorHighlighted: color,
        colorSelected: color,
        textBoxColor: color,
        textBoxColorHighlighted: color,
        textBoxColorSelected: color,
      });
      changed();
    };
    eventTarget.addEventListener(Events.ANNOTATION_ADDED, added);
    for (const name of CHANGES) eventTarget.addEventListener(Events[name], changed);
    return () => {
      eventTarget.removeEventListener(Events.ANNOTATION_ADDED, added);
      for (const name of CHANGES) eventTarget.removeEventListener(Events[name], changed);
    };
  }
}

export const points = new Marks("CarinaPoint", "ProbeTool");
export const boxes = new Marks("CarinaBox", "RectangleROITool");

/** Give the left mouse button back to what it does when a study is opened. */
export function rest() {
  take(USUAL);
}

/** @param {Mark[]} marks */
export function removeMarks(marks) {
  for (const { id } of marks) tools().annotation.state.removeAnnotation(id);
  for (const engine of cornerstone().getRenderingEngines()) engine.render();
}

/** @returns {any[]} tool groups of the viewports that show slices */
function groups() {
  return tools().ToolGroupManager.getAllToolGroups().filter((/** @type {any} */ group) => group.hasTool(USUAL));
}

/** @param {string} tool */
function take(tool) {
  useTool(
    tool,
    groups().map(({ id }) => id),
  );
}
