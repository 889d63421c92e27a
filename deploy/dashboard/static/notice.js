// @ts-check
/** The notice of a page that has nothing to show: the reason, and what to do. */

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

/** @param {string[]} tables that the page would read and the server does not have */
export function showMissing(tables) {
  const notice = byId('missing');
  notice.hidden = !tables.length;
  notice.textContent = tables.length ? `Some values are not shown, because these tables are missing: ${tables.map((name) => visible(name)).join(', ')}. Apply the pending migrations.` : '';
}
