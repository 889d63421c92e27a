// @ts-check
/** A small line chart beside a number. Screen readers read the number only. */

import { svg } from './dom.js';

const WIDTH = 100;
const HEIGHT = 32;
const MOST = 120; // points: more cannot be seen

/**
 * @param {(number | null)[]} values
 * @returns {SVGElement}
 */
export function spark(values) {
  const points = thinned(values.map((value) => value ?? 0));
  const top = Math.max(...points, 0) || 1;
  const step = WIDTH / Math.max(1, points.length - 1);
  const line = points.map((value, i) => `${(i * step).toFixed(1)},${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`).join('L');
  const picture = svg('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  if (points.length > 1) {
    picture.append(svg('path', { class: 'area', d: `M${line}L${WIDTH},${HEIGHT}L0,${HEIGHT}Z` }), svg('path', { class: 'line', d: `M${line}` }));
  }
  return picture;
}

/** @param {number[]} values the greatest of each group of neighbours, so that a peak stays */
function thinned(values) {
  const group = Math.ceil(values.length / MOST);
  if (group <= 1) return values;
  const kept = [];
  for (let at = 0; at < values.length; at += group) kept.push(Math.max(...values.slice(at, at + group)));
  return kept;
}
