/*-------------------------------------------------------------------------
 *
 * base64url.c
 *	  The one spelling of bytes in tokens: unpadded base64url.
 *
 * RFC 4648, 5 with RFC 7515, 2.  Decoding is strict, so that every byte
 * string has exactly one text: no padding, no white space, no bits left over.
 * A token whose text was changed must never be the same token.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/base64url.h"

static const char alphabet[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The six bits of each character; more than 63 for what is not in the alphabet. */
static uint8 values[256];
static bool values_known = false;

static void
invert_alphabet(void)
{
	memset(values, 0xff, sizeof(values));
	for (int i = 0; i < 64; i++)
		values[(unsigned char) alphabet[i]] = (uint8) i;
	values_known = true;
}

/* Decode the two or three characters after the last group of four. */
static int
decode_rest(const unsigned char *in, size_t length, unsigned char *out)
{
	uint8		a = values[in[0]];
	uint8		b = values[in[1]];
	uint8		c = length == 3 ? values[in[2]] : 0;

	if ((a | b | c) > 63 || (length == 2 && (b & 15) != 0) || (c & 3) != 0)
		return -1;
	out[0] = (unsigned char) (a << 2 | b >> 4);
	if (length == 2)
		return 1;
	out[1] = (unsigned char) (b << 4 | c >> 2);
	return 2;
}

int
padlock_base64url_decode(const char *text, size_t length, unsigned char *out)
{
	const unsigned char *in = (const unsigned char *) text;
	const unsigned char *end = in + length / 4 * 4;
	unsigned char *start = out;
	int			rest = 0;

	if (!values_known)
		invert_alphabet();
	if (length % 4 == 1)
		return -1;
	for (; in < end; in += 4)
	{
		uint8		a = values[in[0]];
		uint8		b = values[in[1]];
		uint8		c = values[in[2]];
		uint8		d = values[in[3]];

		if ((a | b | c | d) > 63)
			return -1;
		*out++ = (unsigned char) (a << 2 | b >> 4);
		*out++ = (unsigned char) (b << 4 | c >> 2);
		*out++ = (unsigned char) (c << 6 | d);
	}
	if (length % 4 != 0)
		rest = decode_rest(in, length % 4, out);
	return rest < 0 ? -1 : (int) (out - start) + rest;
}

void
padlock_base64url_append(StringInfo out, const void *data, size_t length)
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
