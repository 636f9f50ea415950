// For admins: sums, anybody's images, users.

import { ask } from './api.js';
import { $, attempt, button, bytes, count, element, question, tell, when }
  from './dom.js';
import { thumbnail } from './gallery.js';

let next = '';
let nextUsers = '';


function row(...cells) {
  return element('tr', {}, ...cells.map((c, i) => element(i ? 'td' : 'th',
    i ? {} : { scope: 'row' }, c)));
}


function sums(table, by) {
  table.replaceChildren(...Object.entries(by).map(([name, sum]) =>
    row(name, String(sum.images), bytes(sum.bytes))));
}


async function stats() {
  const { data } = await ask('stats');

  $('total').textContent = count(data.images, 'image') + ', '
    + bytes(data.bytes);
  sums($('by-status'), data.byStatus);
  sums($('by-type'), data.byType);
  sums($('by-day'), Object.fromEntries(data.byDay.filter((d) => d.images)
    .map((d) => [d.day, d])));
}


function item(image) {
  const node = element('li', {});
  const blocked = image.blocked;
  const act = blocked
    ? button('Unblock', () => attempt(() => moderate(node, image, 'unblock')),
      'Unblock ' + image.originalName)
    : button('Block', () => attempt(() => block(node, image)),
      'Block ' + image.originalName);
  const gone = image.deletedAt ? 'deleted' : image.error || '';

  node.append(
    image.status === 'ready' && !gone ? thumbnail(image)
      : element('span', { className: 'lost' }, gone || image.status),
    element('div', {},
      element('b', {}, image.originalName),
      element('p', { className: 'facts' }, image.userId + ' \u00b7 '
        + bytes(image.size) + ' \u00b7 ' + image.status + ' \u00b7 '
        + when(image.metadata.uploadedAt)),
      ...(blocked ? [element('p', { className: 'error' },
        'Blocked: ' + blocked.reason)] : []),
      ...(gone ? [] : [act])));
  return node;
}


async function block(node, image) {
  const reason = await question('Block ' + image.originalName + ' of '
    + image.userId + '?', 'Block',
  { label: 'Reason, which the owner sees', required: true });

  if (reason) {
    await moderate(node, image, 'block', { reason });
  }
}


async function moderate(node, image, action, more = {}) {
  const { data } = await ask('moderate', {
    id: image.id, body: { action, ...more },
  });
  const now = item(data.image);
  node.replaceWith(now);
  now.querySelector('button').focus();
  tell(image.originalName + ' is ' + action + 'ed.');
}


async function images() {
  const { data } = await ask('allImages', {
    query: { limit: 12, cursor: next, userId: $('owner').value.trim(),
             status: $('status').value },
  });
  next = data.pagination.next;
  $('all-images').append(...data.images.map(item));
  $('all-more').hidden = next === null;
}


// a limit of null means that of image_vault_quota
function userRow(user) {
  const { used, limit } = user.storageQuota;
  const node = row(user.id, used === null ? '\u2013' : bytes(used),
    limit === null ? 'default' : bytes(limit),
    button('Change', () => attempt(() => quota(node, user)),
      'Change the limit of ' + user.id));
  return node;
}


async function quota(node, user) {
  const limit = user.storageQuota.limit;
  const text = await question('Limit of ' + user.id, 'Save', {
    label: 'MB, empty for the default', max: 10,
    value: limit === null ? '' : String(limit / 1048576),
  });

  if (text === null) {
    return;
  }
  const size = text.trim() ? Math.round(Number(text) * 1048576) : null;
  if (Number.isNaN(size)) {
    throw new Error('the limit must be a number');
  }
  const { data } = await ask('changeUser', {
    id: user.id, body: { storageQuota: { limit: size } },
  });
  node.replaceWith(userRow(data.user));
  tell('The limit of ' + user.id + ' is changed.');
}


async function users() {
  const query = { limit: 20 };
  if (nextUsers) {
    query.cursor = nextUsers;
  }
  const { data } = await ask('users', { query });
  nextUsers = data.pagination.next;
  $('users').append(...data.users.map(userRow));
  $('users-more').hidden = nextUsers === null;
}


function everything() {
  next = nextUsers = '';
  $('all-images').replaceChildren();
  $('users').replaceChildren();
  return attempt(() => Promise.all([stats(), images(), users()]));
}


export function startAdmin() {
  $('admin').hidden = false;
  $('admin-box').addEventListener('toggle', () => {
    if ($('admin-box').open) {
      everything();
    }
  });
  $('all-filters').addEventListener('submit', (e) => {
    e.preventDefault();
    everything();
  });
  $('all-more').addEventListener('click', () => attempt(images));
  $('users-more').addEventListener('click', () => attempt(users));
}
