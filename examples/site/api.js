// The HTTP interface of docs/HTTP-API.md, as far as this page needs it.

const API = location.origin + '/api/images';

// methods and paths; t/700-demo.t checks that each of them is there
const ROUTES = {
  upload: 'POST upload',
  list: 'GET user',
  usage: 'GET usage',
  sign: 'POST presigned-url',
  get: 'GET {id}',
  view: 'GET {id}/view',
  download: 'GET {id}/download',
  change: 'PATCH {id}',
  remove: 'DELETE {id}',
  bulk: 'POST bulk',
  stats: 'GET admin/stats',
  allImages: 'GET admin/images',
  moderate: 'POST admin/images/{id}/moderate',
  users: 'GET admin/users',
  changeUser: 'PATCH admin/users/{id}',
};


export function path(route, id = '') {
  return API + '/' + ROUTES[route].split(' ')[1]
    .replace('{id}', () => encodeURIComponent(id));
}


// an error of the interface: status, code, message, failures
export class Refused extends Error {
  constructor(status, answer) {
    const error = (answer && answer.error) || {};
    super(error.message || 'the server answered ' + status);
    this.status = status;
    this.code = error.code || '';
    this.failures = (answer && answer.failures) || [];
  }
}


export const BROKEN = 'the connection broke; is the server running?';


// Asks for JSON and gives { data, etag, headers }.  Of `options`: id, query
// (an object or URLSearchParams), body (an object), ifMatch, signal.
export async function ask(route, options = {}) {
  const headers = { Accept: 'application/json' };
  const query = new URLSearchParams(options.query || {}).toString();

  if (options.body) {
    headers['Content-Type'] = 'application/json';
  }
  if (options.ifMatch) {
    headers['If-Match'] = options.ifMatch;
  }

  let response, data = null;

  try {
    response = await fetch(path(route, options.id) + (query && '?' + query), {
      method: ROUTES[route].split(' ')[0],
      headers,
      body: options.body && JSON.stringify(options.body),
      signal: options.signal,
    });
    data = await response.json();
  } catch (e) {
    if (e.name === 'AbortError') {
      throw e;
    }
    if (!response) {
      throw new Error(BROKEN);
    }
    // else an error page of nginx's own
  }

  if (!response.ok || !data) {
    throw new Refused(response.status, data);
  }

  // gzip makes a weak tag of a strong one
  const etag = (response.headers.get('ETag') || '').replace(/^W\//, '');
  return { data, etag, headers: response.headers };
}


// one thing done to many images, 100 a request: the results, one an id
export async function bulk(action, ids, more = {}) {
  const results = [];

  for (let i = 0; i < ids.length; i += 100) {
    const { data } = await ask('bulk', {
      body: { action, ids: ids.slice(i, i + 100), ...more },
    });
    results.push(...data.results);
  }
  return results;
}
