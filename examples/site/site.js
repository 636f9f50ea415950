// A gallery that has no server code of its own: all it does are requests to
// image_vault.

import { ask } from './api.js';
import { $, bytes, count, tell } from './dom.js';
import { startAdmin } from './admin.js';
import { reload, startGallery } from './gallery.js';
import { startUploads } from './upload.js';


// what is stored, and may be; says by the way who is signed in
async function usage() {
  const { data, headers } = await ask('usage');
  const { used, limit } = data.storageQuota;

  $('usage').hidden = limit === null;
  $('usage').max = limit || 1;
  $('usage').value = used;
  $('usage-text').textContent = count(data.images, 'image') + ', '
    + bytes(used) + (limit === null ? '' : ' of ' + bytes(limit));
  return headers;
}


function refresh() {
  usage().catch((e) => tell(e.message, true));
}


async function start() {
  let headers;

  try {
    headers = await usage();
  } catch (e) {
    if (e.status !== 401) {
      tell(e.message, true);
    }
    return;
  }

  const user = headers.get('X-User') || 'you';
  $('nobody').hidden = true;
  $('somebody').hidden = false;
  $('user').textContent = user;
  for (const link of document.querySelectorAll('[data-user]')) {
    link.hidden = link.dataset.user === user;
  }
  $('signed-in').hidden = false;

  startUploads(() => {
    refresh();
    reload();
  });
  startGallery(refresh);
  if (headers.get('X-Admin')) {
    startAdmin();
  }
  reload();
}


start();
