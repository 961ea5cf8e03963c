/*-------------------------------------------------------------------------
 *
 * unwrap.c
 *	  A key of padlock.keys in clear, given the key file: for tests that look
 *	  where it must not be.
 *
 * Usage: unwrap FILE-KEY WRAPPED, both in hexadecimal; prints the key.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "envelope/message.h"

static size_t
from_hex(const char *hex, uint8_t *bytes, size_t max)
{
	size_t		length = strlen(hex) / 2;

	for (size_t i = 0; i < length && i < max; i++)
	{
		unsigned	byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		bytes[i] = byte;
	}
	return length;
}

int
main(int argc, char **argv)
{
	uint8_t		file_key[ENVELOPE_KEY_SIZE];
	uint8_t		key[ENVELOPE_KEY_SIZE];
	uint8_t		wrapped[4096];
	EnvelopeMessage message;
	EnvelopeWrappedKey wrapped_key;

	if (argc != 3)
		return 2;
	from_hex(argv[1], file_key, sizeof(file_key));
	if (!envelope_parse(wrapped, from_hex(argv[2], wrapped, sizeof(wrapped)), &message) ||
		message.plaintext_length != sizeof(key) || !envelope_next_key(&message, &wrapped_key) ||
		!envelope_open(&message, &wrapped_key, file_key, key))
		return 1;
	for (size_t i = 0; i < sizeof(key); i++)
		printf("%02x", key[i]);
	putchar('\n');
	return 0;
}
