// @ts-check
/** Rows of any query as a table and as CSV. */

import { el, visible } from './dom.js';
import { amount, count, utc } from './format.js';

/** @typedef {import('./ask.js').Answer} Answer */

const PAGE = 500; // rows that are shown; the CSV has all

/** @param {HTMLElement} table @param {Answer} answer */
export function showRows(table, answer) {
  const kinds = answer.columns.map(([name, type]) => (answer.times.includes(name) ? 'time' : /^(INTEGER|BIGINT)/.test(type) ? 'whole' : /^(DOUBLE|DECIMAL)/.test(type) ? 'number' : 'text'));
  const head = el('tr', {}, ...answer.columns.map(([name], i) => el('th', { scope: 'col', class: kinds[i] === 'text' || kinds[i] === 'time' ? null : 'num' }, visible(name))));
  const rows = answer.rows.slice(0, PAGE).map((row) => el('tr', {}, ...row.map((value, i) => cell(value, kinds[i]))));
  const rest = answer.rows.length - PAGE;
  if (rest > 0) rows.push(el('tr', {}, el('td', { colspan: answer.columns.length, class: 'empty' }, `${count(rest)} further rows are in the CSV.`)));
  if (!answer.rows.length && answer.columns.length) rows.push(el('tr', {}, el('td', { colspan: answer.columns.length, class: 'empty' }, 'No rows.')));
  table.replaceChildren(el('thead', {}, head), el('tbody', {}, ...rows));
}

/** @param {unknown} value @param {string} kind */
function cell(value, kind) {
  if (value === null || value === undefined) return el('td', { class: kind === 'text' || kind === 'time' ? 'none' : 'num none' }, 'NULL');
  if (kind === 'time') return el('td', {}, utc(Number(value)));
  if (kind === 'whole') return el('td', { class: 'num', title: String(value) }, count(Number(value)));
  if (kind === 'number') return el('td', { class: 'num', title: String(value) }, amount(Number(value)));
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return el('td', { class: 'text', title: visible(text, 2000) }, el('bdi', {}, visible(text, 400)));
}

/** @param {Answer} answer @returns {string} exact values; text that a spreadsheet would run gets an apostrophe in front */
export function toCsv(answer) {
  const lines = [answer.columns.map(([name]) => name), ...answer.rows];
  return lines.map((row) => row.map(field).join(',')).join('\r\n');
}

/** @param {unknown} value */
function field(value) {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
