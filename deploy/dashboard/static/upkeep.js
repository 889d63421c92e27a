// @ts-check
/** The tables of migrations and of the processing log. */

import { byId, el, say, visible } from './dom.js';
import { utc } from './format.js';

/**
 * @typedef {{version: number, name: string, state: string, done: number, total: number | null, completed: number | null,
 *   error: string | null, changed: boolean}} Version
 * @typedef {{versions: Version[], drift: [string, string, string][], error: string | null}} Migrations
 */

/** @param {Migrations} data */
export function showMigrations(data) {
  const pending = data.versions.filter((version) => version.state !== 'MIGRATED').length;
  const changed = data.versions.filter((version) => version.changed).length;
  const drift = data.drift.length;
  const said = [pending ? `${pending} pending` : 'all applied', ...(changed ? [`${changed} changed since`] : []), drift ? `${drift} drifted` : 'no drift'];
  say(byId('migrations-said'), data.error ? '' : said.join(', '));
  const head = el('tr', {}, ...['Version', 'Name', 'State', 'Statements', 'Applied (UTC)'].map((title, i) => el('th', { scope: 'col', class: i === 3 ? 'num' : null }, title)));
  const rows = data.versions.map((version) => el('tr', {},
    el('td', {}, `V${String(version.version).padStart(3, '0')}`),
    el('th', { scope: 'row' }, visible(version.name)),
    el('td', { class: version.error ? 'down' : null }, `${version.state.toLowerCase()}${version.changed ? ', file changed' : ''}`),
    el('td', { class: 'num' }, version.total === null ? 'no file' : `${version.done} of ${version.total}`),
    el('td', {}, version.completed ? utc(version.completed) : '–')));
  if (!rows.length && !data.error) rows.push(el('tr', {}, el('td', { colspan: 5, class: 'empty' }, 'No migration is applied. Run: opensea-metrics apply')));
  byId('migrations').replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
  const errors = data.versions.filter((version) => version.error).map((version) => el('p', { class: 'note padded' }, visible(version.error, 1000)));
  const drifts = data.drift.map(([kind, name, text]) => el('li', {}, el('b', {}, visible(name)), ` ${kind}: ${visible(text, 1000)}`));
  byId('drift').replaceChildren(
    ...(data.error ? [el('p', { class: 'note padded' }, visible(data.error, 2000))] : []), ...errors,
    ...(drifts.length ? [el('h3', { class: 'padded' }, 'Drift'), el('ul', { class: 'padded plain-list' }, ...drifts)] : []));
}

/** @param {{rows: [number | null, string, string, string][]}} data the newest row first */
export function showLog(data) {
  const rows = data.rows.map(([at, level, logger, text]) => el('tr', {},
    el('td', {}, at ? utc(at) : ''), el('td', { class: level === 'ERROR' ? 'down' : null }, visible(level, 20)),
    el('td', { class: 'message', title: visible(logger) }, visible(text, 2000))));
  if (!rows.length) rows.push(el('tr', {}, el('td', { colspan: 3, class: 'empty' }, 'No record has failed.')));
  const head = el('tr', {}, ...['Time (UTC)', 'Level', 'Message'].map((title) => el('th', { scope: 'col' }, title)));
  byId('log').replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
  say(byId('log-said'), data.rows.length ? `The newest ${data.rows.length} rows` : '');
}
