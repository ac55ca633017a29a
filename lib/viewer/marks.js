// Points and boxes placed on the image with Cornerstone's own tools, which draw and move them; Backspace deletes one.

import { activeViewportId, cornerstone, cornerstoneViewport, services, tools, useTool, viewportOf } from "./ohif.js";
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
 * @property {string} [held] what it was kept for; such a mark cannot be moved
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
    this.#introduce();
    take(this.#tool);
  }

  /**
   * Place a mark as if somebody had clicked there.
   * @param {import("./ohif.js").DisplaySet} series
   * @param {{label: string, colour: [number, number, number], at: number[], slice: number}} what LPS mm, and the slice in
   *   the viewer's order
   * @returns {string|null} its id; null where the series is not shown
   */
  put(series, { label, colour, at, slice }) {
    const viewport = cornerstoneViewport(viewportOf(series));
    if (!viewport) return null;
    this.#introduce();
    const { viewPlaneNormal, viewUp } = viewport.getCamera();
    const annotationUID = crypto.randomUUID();
    tools().annotation.state.addAnnotation(
      {
        annotationUID,
        highlighted: false,
        invalidated: true,
        isLocked: false,
        isVisible: true,
        metadata: {
          toolName: this.#tool,
          FrameOfReferenceUID: viewport.getFrameOfReferenceUID(),
          referencedImageId: series.imageIds?.[slice],
          viewPlaneNormal,
          viewUp,
        },
        data: { label, series: series.SeriesInstanceUID, handles: { points: [at] }, cachedStats: {} },
      },
      viewport.element,
    );
    paint(annotationUID, colour);
    return annotationUID;
  }

  /**
   * Keep a mark where it is from now on.
   * @param {string} id
   * @param {{place: string, label: string}} what it is kept for, and what it says
   */
  hold(id, { place, label }) {
    this.#introduce();
    const annotation = tools().annotation.state.getAnnotation(id);
    if (annotation.isLocked && annotation.data.held === place && annotation.data.label === label) return;
    Object.assign(annotation.data, { held: place, label });
    tools().annotation.locking.setAnnotationLocked(id, true);
    draw();
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
        held: data.held,
      }));
  }

  /** Make the tool known to the viewports that show slices; OHIF makes new ones for every study. */
  #introduce() {
    const tool = this.#tool;
    const strangers = groups().filter((group) => !group.hasTool(tool));
    if (!strangers.length) return;
    tools().addTool(
      class extends tools()[this.#like] {
        static toolName = tool;
      },
    );
    for (const group of strangers) {
      group.addTool(tool, { getTextLines: (/** @type {any} */ data) => [words(data.label)] });
      group.setToolPassive(tool);
    }
    draw();
  }

  /**
   * @param {{says: () => Saying|null, changed: () => void}} callbacks as of `place`
   * @returns {() => void} ends it
   */
  #follow({ says, changed }) {
    const { Events } = tools().Enums;
    const { eventTarget } = cornerstone();
    const added = (/** @type {any} */ { detail: { annotation } }) => {
      if (annotation.metadata.toolName !== this.#tool || annotation.data.series) return;
      const said = says();
      if (!said) return tools().annotation.state.removeAnnotation(annotation.annotationUID);
      Object.assign(annotation.data, { label: said.label, series: said.series });
      paint(annotation.annotationUID, said.colour);
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
export const spots = new Marks("CarinaSpot", "ProbeTool");

/** Give the left mouse button back to what it does when a study is opened. */
export function rest() {
  take(USUAL);
}

/** @param {Mark[]} marks */
export function removeMarks(marks) {
  for (const { id } of marks) tools().annotation.state.removeAnnotation(id);
  draw();
}

/** @param {string} id @param {[number, number, number]} colour */
function paint(id, colour) {
  const color = `rgb(${colour.join(", ")})`;
  tools().annotation.config.style.setAnnotationStyles(id, {
    color,
    colorHighlighted: color,
    colorSelected: color,
    textBoxColor: color,
    textBoxColorHighlighted: color,
    textBoxColorSelected: color,
  });
}

function draw() {
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
