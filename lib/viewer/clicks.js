// Points as an interactive task is sent them: voxels of the image by label.

import { imageVoxel } from "./grid.js";

/** The server's name for what belongs to no label. */
export const BACKGROUND = "background";

/**
 * @param {{label: string, at: number[][]}[]} points LPS mm
 * @param {{task: Pick<import("./client.js").Task, "name"|"labels">, grid: import("./grid.js").SeriesGrid}} on
 * @returns {Record<string, number[][]>} keys of a request to `/infer`
 */
export function clicksOf(points, { task, grid }) {
  /** @type {Record<string, number[][]>} */
  const clicks = {};
  for (const {
    label,
    at: [at],
  } of points) {
    if (label !== BACKGROUND && !task.labels.some(({ name }) => name === label)) {
      throw new Error(`A point must be in a segment of ${task.name}, and ${label} is none. Undo it, then try again.`);
    }
    const voxel = imageVoxel(grid, at);
    if (!voxel) throw new Error("A point must lie on its series, and one does not. Undo it, then try again.");
    (clicks[label] ??= []).push(voxel);
  }
  return clicks;
}
