/*-------------------------------------------------------------------------
 *
 * jwt_base64.c
 *	  The one spelling of bytes in JSON Web Tokens: unpadded base64url.
 *
 * RFC 4648, 5 with RFC 7515, 2.  Decoding is strict, so that every byte
 * string has exactly one text: no padding, no white space, no bits left over.
 * A token whose text was changed must never be the same token.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "identity/jwt_internal.h"

static const char alphabet[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The six bits of a character, or -1. */
static inline int
value_of(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

int
jwt_base64url_decode(const char *text, size_t length, unsigned char *out)
{
	uint32		bits = 0;
	int			pending = 0;
	int			written = 0;

	if (length % 4 == 1)
		return -1;
	for (size_t i = 0; i < length; i++)
	{
		int			value = value_of((unsigned char) text[i]);

		if (value < 0)
			return -1;
		bits = (bits << 6) | value;
		pending += 6;
		if (pending >= 8)
		{
			pending -= 8;
			out[written++] = (unsigned char) (bits >> pending);
			bits &= (1U << pending) - 1;
		}
	}
	return bits == 0 ? written : -1;
}

void
jwt_base64url_append(StringInfo out, const void *data, size_t length)
{
	const unsigned char *bytes = data;
	uint32		bits = 0;
	int			pending = 0;

	for (size_t i = 0; i < length; i++)
	{
		bits = ((bits << 8) | bytes[i]) & 0xffff;
		for (pending += 8; pending >= 6; pending -= 6)
			appendStringInfoChar(out, alphabet[(bits >> (pending - 6)) & 63]);
	}
	if (pending > 0)
		appendStringInfoChar(out, alphabet[(bits << (6 - pending)) & 63]);
}
