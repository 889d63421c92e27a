// @ts-check
/** What a page says if it has nothing to show: why, and what to do. */

import { byId, el, visible } from './dom.js';

/** @typedef {{title: string, text: string, commands: string[]}} Problem */

/**
 * Show a problem instead of the page's content, or the content if there is none.
 * @param {Problem | null} problem
 */
export function showProblem(problem) {
  const notice = byId('notice');
  byId('shown').hidden = problem !== null;
  notice.hidden = problem === null;
  if (!problem) return;
  notice.replaceChildren(
    el('h2', {}, visible(problem.title)),
    el('p', {}, visible(problem.text, 2000)),
    ...(problem.commands.length ? [el('pre', {}, problem.commands.join('\n'))] : []),
  );
}
