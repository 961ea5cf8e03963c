/*-------------------------------------------------------------------------
 *
 * refresh_token.c
 *	  Refresh tokens: a session's id and a counter, with a MAC.
 *
 * A token is base64url(session id (16 bytes) || counter (8, big-endian) ||
 * HMAC-SHA-256 of a prefix and both (32)).  So a session needs one row
 * however often it is refreshed, a forged token is refused before any table
 * is read, and the token that follows another can be told again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "port/pg_bswap.h"

#include "accounts/token.h"
#include "core/base64url.h"
#include "identity/jwt.h"

/* Keeps these MACs apart from any other use of the key. */
#define DOMAIN			"padlock refresh token 1"
#define MAC_BYTES		32
#define TOKEN_TEXT		75		/* characters of 56 bytes */

typedef struct RefreshToken
{
	uint8		session_id[UUID_LEN];
	uint8		counter[8];
	uint8		mac[MAC_BYTES];
} RefreshToken;

StaticAssertDecl(sizeof(RefreshToken) == 56, "a refresh token has no padding");

#define SIGNED_BYTES	offsetof(RefreshToken, mac)

static void
compute_mac(const RefreshToken *token, uint8 mac[MAC_BYTES])
{
	uint8		data[sizeof(DOMAIN) + SIGNED_BYTES];

	memcpy(data, DOMAIN, sizeof(DOMAIN));
	memcpy(data + sizeof(DOMAIN), token, SIGNED_BYTES);
	jwt_refresh_mac(data, sizeof(data), mac);
}

char *
refresh_token_make(const pg_uuid_t *session_id, int64 counter)
{
	RefreshToken token;
	uint64		big_endian = pg_hton64((uint64) counter);
	StringInfoData text;

	memcpy(token.session_id, session_id->data, UUID_LEN);
	memcpy(token.counter, &big_endian, sizeof(big_endian));
	compute_mac(&token, token.mac);
	initStringInfo(&text);
	padlock_base64url_append(&text, &token, sizeof(token));
	return text.data;
}

bool
refresh_token_read(const char *text, pg_uuid_t *session_id, int64 *counter)
{
	RefreshToken token;
	uint8		mac[MAC_BYTES];
	uint64		big_endian;

	if (strlen(text) != TOKEN_TEXT ||
		padlock_base64url_decode(text, TOKEN_TEXT, (unsigned char *) &token) != sizeof(token))
		return false;
	compute_mac(&token, mac);
	if (CRYPTO_memcmp(mac, token.mac, MAC_BYTES) != 0)
		return false;
	memcpy(session_id->data, token.session_id, UUID_LEN);
	memcpy(&big_endian, token.counter, sizeof(big_endian));
	*counter = (int64) pg_ntoh64(big_endian);
	return true;
}
