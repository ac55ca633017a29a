// Points placed on the image with Cornerstone's own probe, which draws and moves them; Backspace deletes one.

import { activeViewportId, cornerstone, services, tools, useTool } from "./ohif.js";
import { words } from "./view.js";

const TOOL = "CarinaPoint";
const USUAL = "WindowLevel";
const CHANGES = ["ANNOTATION_COMPLETED", "ANNOTATION_MODIFIED", "ANNOTATION_REMOVED", "TOOL_ACTIVATED"];

/**
 * What a point says.
 * @typedef {object} Mark
 * @property {string} label
 * @property {[number, number, number]} colour
 * @property {string} series it is placed on, by its SeriesInstanceUID
 */

/**
 * @typedef {object} Point
 * @property {string} id
 * @property {string} label
 * @property {number[]} at LPS mm
 */

/** Let the left mouse button place points, in every viewport that shows slices. */
export function place() {
  const { ProbeTool, addTool } = tools();
  addTool(
    class extends ProbeTool {
      static toolName = TOOL;
    },
  );
  for (const group of groups()) {
    if (!group.hasTool(TOOL)) group.addTool(TOOL, { getTextLines: (/** @type {any} */ data) => [words(data.label)] });
  }
  take(TOOL);
}

/** Give the left mouse button back to what it does when a study is opened. */
export function rest() {
  take(USUAL);
}

/** @returns {boolean} whether the left mouse button places points */
export function placing() {
  const viewportId = activeViewportId();
  const group = viewportId ? services().toolGroupService.getToolGroupForViewport(viewportId) : null;
  return group?.getActivePrimaryMouseButtonTool() === TOOL;
}

/**
 * @param {string} series its SeriesInstanceUID
 * @returns {Point[]} the oldest first
 */
export function pointsOn(series) {
  return annotations()
    .filter(({ data }) => data.series === series)
    .map(({ annotationUID, data }) => ({ id: annotationUID, label: data.label, at: [...data.handles.points[0]] }));
}

/** @param {string[]} ids */
export function removePoints(ids) {
  for (const id of ids) tools().annotation.state.removeAnnotation(id);
  for (const engine of cornerstone().getRenderingEngines()) engine.render();
}

/**
 * Call back when a point is placed, moved or deleted, or another tool taken; a new one is told what it says.
 * @param {{mark: () => Mark|null, changed: () => void}} callbacks no mark: the point is not wanted
 * @returns {() => void} ends it
 */
export function follow({ mark, changed }) {
  const { Events } = tools().Enums;
  const { eventTarget } = cornerstone();
  const added = (/** @type {any} */ { detail: { annotation } }) => {
    if (annotation.metadata.toolName !== TOOL) return;
    const says = mark();
    if (!says) return tools().annotation.state.removeAnnotation(annotation.annotationUID);
    const color = `rgb(${says.colour.join(", ")})`;
    Object.assign(annotation.data, { label: says.label, series: says.series });
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

/** @returns {any[]} */
function annotations() {
  return tools()
    .annotation.state.getAllAnnotations()
    .filter((/** @type {any} */ { metadata }) => metadata.toolName === TOOL);
}
