// What a reverse proxy does to a request before PostgREST sees it, as the nginx of
// the README: it gives functions the names that web applications call, notes the
// peer's address in x-forwarded-for, and takes away the word anon that stands for
// no token.  And, for these tests only, it gives them the names that auth-js calls.
'use strict';

const { decodeJwt } = require('jose');
const { Refusal } = require('./errors');

const AUTH = {
  'POST /auth/v1/signup': ['sign_up', ({ email, password }) => ({ email, password })],
  'POST /auth/v1/token?grant_type=password': ['sign_in', ({ email, password }) => ({ email, password })],
  'POST /auth/v1/token?grant_type=refresh_token': ['refresh_session', ({ refresh_token }) => ({ refresh_token })],
  'POST /auth/v1/logout?scope=local': ['sign_out', () => ({ scope: 'local' })],
  'POST /auth/v1/logout?scope=others': ['sign_out', () => ({ scope: 'others' })],
  'POST /auth/v1/logout?scope=global': ['sign_out', () => ({ scope: 'global' })],
};

// auth-js asks for the token's user, and for one object.
function userOf(request) {
  const { sub } = decodeJwt(request.headers.authorization.slice('Bearer '.length));

  request.rawHeaders.push('Accept', 'application/vnd.pgrst.object+json');
  return `/users?select=id,email&id=eq.${sub}`;
}

// The path that PostgREST sees for a client's; the body is rewritten where auth-js's is another.
function route(request) {
  const [path, query] = request.url.split('?');
  const args = query === undefined ? '' : '?' + query;
  const auth = AUTH[`${request.method} ${request.url}`];
  let match;

  if (auth) {
    request.body = Buffer.from(JSON.stringify(auth[1](JSON.parse(request.body.toString() || '{}'))));
    return '/rpc/' + auth[0];
  }
  if (path === '/auth/v1/user' && request.method === 'GET')
    return userOf(request);
  if ((match = /^\/functions\/v1\/([a-z]+(?:-[a-z]+)+)$/.exec(path)))
    return '/rpc/' + match[1].replace(/-/g, '_') + args;
  if ((match = /^\/rest\/v1(\/.*)$/.exec(path)))
    return match[1] + args;
  throw new Refusal(404, 'PGRST125', 'no such route');
}

// Who has passed the request on so far, this peer last.
function forwarded(request) {
  const before = request.headers['x-forwarded-for'];
  const peer = request.socket.remoteAddress.replace(/^::ffff:/, '');

  return before === undefined ? peer : `${before}, ${peer}`;
}

// Rewrite a request with its whole body in request.body; the path for PostgREST.
// Of repeated headers it takes the last: what stands here replaces the client's.
function pass(request) {
  const path = route(request);

  request.rawHeaders.push('X-Forwarded-For', forwarded(request));
  if (request.headers.authorization === 'Bearer anon')
    request.rawHeaders.push('Authorization', '');
  return path;
}

module.exports = { pass };
