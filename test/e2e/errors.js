// Errors as PostgREST 12 answers them (v12.2.12: Error.hs, pgErrorStatus): its
// own, and those of the server.
'use strict';

// An answer that the gateway gives itself.
class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, headers, body: { code, message, details: null, hint: null } });
  }
}

const CLASSES = { '08': 503, '09': 500, '0L': 403, '0P': 403, 25: 500, 28: 403, '2D': 500, 38: 500, 39: 500, '3B': 500,
  40: 500, 53: 503, 54: 500, 55: 500, 57: 500, 58: 500, F0: 500, HV: 500, P0: 500, XX: 500 };
const STATES = { 23503: 409, 23505: 409, 25006: 405, 21000: 500, 53400: 500, '57P01': 503, P0001: 400, 42883: 404,
  '42P01': 404, '42P17': 500 };

// Status, headers and body for an error of the server.
function databaseError(error, isAnon) {
  const { code, message, detail = null, hint = null } = error;

  if (code === undefined)
    return { status: 503, headers: {}, body: { code: 'PGRST000', message, details: null, hint: null } };
  if (code === 'PGRST') {
    const body = JSON.parse(message);
    const more = JSON.parse(detail);
    if (typeof body.code !== 'string' || typeof body.message !== 'string' || !Number.isInteger(more.status) ||
        Object.values(more.headers).some((value) => typeof value !== 'string'))
      return { status: 500, headers: {}, body: { code: 'PGRST121', message: 'Could not parse JSON', details: detail, hint: null } };
    return { status: more.status, headers: more.headers,
      body: { code: body.code, message: body.message, details: body.details ?? null, hint: body.hint ?? null } };
  }
  const status = code === '42501' ? (isAnon ? 401 : 403)
    : /^PT\d{3}$/.test(code) ? Number(code.slice(2))
    : STATES[code] || CLASSES[code.slice(0, 2)] || 400;
  return { status, headers: status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}, body: { code, message, details: detail, hint } };
}

module.exports = { Refusal, databaseError };
