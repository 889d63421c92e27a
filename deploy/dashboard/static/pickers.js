// @ts-check
/** The pickers of window, chain and range. They show and change the view. */

import { byId, el, visible } from './dom.js';
import { choose, onView, view } from './view.js';

const RANGES = [['1h', '1 h'], ['6h', '6 h'], ['24h', '24 h'], ['2d', '2 d'], ['all', 'All']];

/**
 * @typedef {{windows: {suffix: string, label: string, size: number}[], window: string | null, chains: string[],
 *   missing: string[], problem: import('./notice.js').Problem | null, isComplete: boolean}} Catalog
 */

/** @param {Catalog} catalog */
export function showPickers(catalog) {
  const chosen = view().get('window')?.toUpperCase() ?? catalog.window;
  const windows = catalog.windows.map((w) => [w.suffix, w.label]);
  radios('windows', 'window', windows, chosen, (value) => choose({ window: value, at: null }));
  const period = view().has('from');
  radios('ranges', 'range', RANGES, period ? null : view().get('range') ?? '24h', (value) =>
    choose({ range: value, from: null, to: null, at: null }));
  const chain = /** @type {HTMLSelectElement | null} */ (document.getElementById('chain'));
  if (!chain) return;
  const current = view().get('chain') ?? '';
  const names = [...new Set([...catalog.chains, ...(current ? [current] : [])])];
  const key = JSON.stringify(names);
  if (chain.dataset.names !== key) {
    chain.replaceChildren(el('option', { value: '' }, 'All chains'), ...names.map((n) => el('option', { value: n }, visible(n, 40))));
    chain.dataset.names = key;
  }
  chain.value = current;
}

/**
 * A group of radio buttons in a fieldset.
 * @param {string} id
 * @param {string} name
 * @param {string[][]} choices value and label
 * @param {string | null} chosen
 * @param {(value: string) => void} onChoice
 */
export function radios(id, name, choices, chosen, onChoice) {
  const group = byId(id).querySelector('.choices') ?? byId(id);
  const key = JSON.stringify(choices);
  if (/** @type {HTMLElement} */ (group).dataset.choices !== key) {
    group.replaceChildren(...choices.map(([value, label]) =>
      el('label', {}, el('input', { type: 'radio', name, value }), el('span', {}, label))));
    /** @type {HTMLElement} */ (group).dataset.choices = key;
    group.addEventListener('change', (event) => onChoice(/** @type {HTMLInputElement} */ (event.target).value));
  }
  for (const input of group.querySelectorAll('input')) input.checked = input.value === chosen;
}

function showPeriod() {
  const query = view();
  byId('period').toggleAttribute('data-set', query.has('from'));
  for (const name of ['from', 'to']) {
    const ms = Number(query.get(name));
    /** @type {HTMLInputElement} */ (byId(name)).value = ms ? new Date(ms).toISOString().slice(0, 19) : '';
  }
}

function choosePeriod() {
  const [from, to] = ['from', 'to'].map((name) => Date.parse(`${/** @type {HTMLInputElement} */ (byId(name)).value}Z`));
  const note = byId('period-note');
  if (!from || !to) note.textContent = 'Give both times.';
  else if (from >= to) note.textContent = 'The first time must be before the second.';
  else {
    note.textContent = '';
    byId('period').removeAttribute('open');
    choose({ from: String(from), to: String(to), at: null });
  }
}

byId('pickers').addEventListener('submit', (event) => event.preventDefault());
byId('chain')?.addEventListener('change', (event) => choose({ chain: /** @type {HTMLSelectElement} */ (event.target).value }));
byId('period-set').addEventListener('click', choosePeriod);
byId('period-clear').addEventListener('click', () => {
  byId('period').removeAttribute('open');
  choose({ from: null, to: null, at: null });
});
byId('period').addEventListener('keydown', (event) => {
  if (event.key === 'Escape') byId('period').removeAttribute('open');
});
onView(showPeriod);
showPeriod();
