// @ts-check
/** The page's choices, which are the query of its URL, so that a view can be sent to a colleague. */

/** @returns {URLSearchParams} */
export const view = () => new URLSearchParams(location.search);

/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {() => void} listener is called after each change of the view */
export const onView = (listener) => listeners.add(listener);

/**
 * Change some choices. An empty value removes a choice.
 * @param {Record<string, string | null>} changes
 * @param {boolean} [isTyping] true while a text is typed, so that "back" does not return letter by letter
 */
export function choose(changes, isTyping = false) {
  const query = view();
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const address = `${location.pathname}${query.size ? `?${query}` : ''}`;
  history[isTyping ? 'replaceState' : 'pushState'](null, '', address);
  for (const listener of listeners) listener();
}

/**
 * The address of another page with the same choices.
 * @param {string} path
 * @param {Record<string, string>} [changes]
 * @param {string[]} [kept] the choices to keep
 */
export function address(path, changes = {}, kept = ['window', 'range', 'from', 'to']) {
  const query = new URLSearchParams([...view()].filter(([name]) => kept.includes(name)));
  for (const [name, value] of Object.entries(changes)) query.set(name, value);
  return `${path}${query.size ? `?${query}` : ''}`;
}

addEventListener('popstate', () => {
  for (const listener of listeners) listener();
});
