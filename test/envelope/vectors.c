/*-------------------------------------------------------------------------
 *
 * vectors.c
 *	  The envelope's primitives and messages against published vectors, and
 *	  against every way to damage a message.
 *
 * Usage: vectors FILE...  Prints TAP.  A file is a Wycheproof JSON file of
 * AES-GCM or HKDF-SHA-512, the AWS Encryption SDK's known answers for key
 * commitment, or a response file (.rsp) of NIST's AES-GCM tests; what a file holds for other parameters than ours is passed over
 * and counted.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "envelope/message.h"

#define MAX_VECTOR 65536

typedef struct Counts
{
	int			good;
	int			bad;
	int			other;
} Counts;

static int	tests = 0;

static void
ok(bool good, const char *format, const char *what, int number)
{
	printf("%sok %d - ", good ? "" : "not ", ++tests);
	printf(format, what, number);
	putchar('\n');
}

static size_t
from_hex(const char *hex, uint8_t *bytes)
{
	size_t		length = strlen(hex) / 2;

	for (size_t i = 0; i < length && i < MAX_VECTOR; i++)
	{
		unsigned	byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		bytes[i] = byte;
	}
	return length;
}

static size_t
field(json_t *test, const char *name, uint8_t *bytes)
{
	return from_hex(json_string_value(json_object_get(test, name)), bytes);
}

static void
count(Counts *counts, bool as_marked, const char *file, json_t *test)
{
	if (as_marked)
		counts->good++;
	else
	{
		counts->bad++;
		printf("# %s: tcId %d\n", file, (int) json_integer_value(json_object_get(test, "tcId")));
	}
}

static bool
is_valid(json_t *test)
{
	return strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
}

/* One AES-GCM vector: opening says what is marked, and sealing gives the same bytes. */
static bool
check_gcm(json_t *test)
{
	static uint8_t key[MAX_VECTOR], iv[MAX_VECTOR], aad[MAX_VECTOR], message[MAX_VECTOR];
	static uint8_t sealed[MAX_VECTOR], tag[MAX_VECTOR], output[MAX_VECTOR], made[64];
	size_t		aad_length = field(test, "aad", aad);
	size_t		length = field(test, "msg", message);
	EnvelopeCipher *opening;
	EnvelopeCipher *sealing;
	bool		good;

	field(test, "key", key);
	field(test, "iv", iv);
	field(test, "ct", sealed);
	field(test, "tag", tag);
	opening = envelope_cipher_begin(key, false);
	sealing = envelope_cipher_begin(key, true);
	good = envelope_cipher_open(opening, iv, aad, aad_length, sealed, length, tag,
								output) == is_valid(test);
	if (good && is_valid(test))
		good = memcmp(output, message, length) == 0 &&
			envelope_cipher_seal(sealing, iv, aad, aad_length, message, length, output, made) &&
			memcmp(output, sealed, length) == 0 && memcmp(made, tag, ENVELOPE_TAG_SIZE) == 0;
	envelope_cipher_end(opening);
	envelope_cipher_end(sealing);
	return good;
}

static bool
check_hkdf(json_t *test)
{
	static uint8_t ikm[MAX_VECTOR], salt[MAX_VECTOR], info[MAX_VECTOR], okm[MAX_VECTOR];
	static uint8_t output[MAX_VECTOR];
	EnvelopeHmacKey prk;
	size_t		ikm_length = field(test, "ikm", ikm);
	size_t		salt_length = field(test, "salt", salt);
	size_t		info_length = field(test, "info", info);
	size_t		size = json_integer_value(json_object_get(test, "size"));

	/* what is marked invalid asks for more than HKDF can make, as no caller does */
	if (!is_valid(test))
		return size > 255 * ENVELOPE_HASH_SIZE;
	field(test, "okm", okm);
	envelope_hkdf_extract(salt, salt_length, ikm, ikm_length, &prk);
	envelope_hkdf_expand(&prk, info, info_length, output, size);
	return memcmp(output, okm, size) == 0;
}

static bool
is_ours(json_t *group, bool gcm)
{
	return !gcm || (json_integer_value(json_object_get(group, "keySize")) == 256 &&
					json_integer_value(json_object_get(group, "ivSize")) == 96 &&
					json_integer_value(json_object_get(group, "tagSize")) == 128);
}

static void
check_wycheproof(const char *file, json_t *root)
{
	const char *algorithm = json_string_value(json_object_get(root, "algorithm"));
	bool		gcm = strcmp(algorithm, "AES-GCM") == 0;
	Counts		counts = {0};
	size_t		i;
	size_t		j;
	json_t	   *group;
	json_t	   *test;

	json_array_foreach(json_object_get(root, "testGroups"), i, group)
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			if (is_ours(group, gcm))
				count(&counts, gcm ? check_gcm(test) : check_hkdf(test), file, test);
			else
				counts.other++;
		}
	printf("# %s: %d as marked, %d of other parameters\n", algorithm, counts.good, counts.other);
	ok(counts.bad == 0 && counts.good > 0, "%s: all %d as marked", algorithm, counts.good);
}

static size_t
from_base64(const char *text, uint8_t *bytes)
{
	size_t		length = strlen(text);
	int			decoded = EVP_DecodeBlock(bytes, (const unsigned char *) text, (int) length);

	for (const char *end = text + length; end > text && end[-1] == '='; end--)
		decoded--;
	return decoded;
}

/* Is the plaintext the concatenation of the frames the vector lists? */
static bool
is_expected(json_t *test, const uint8_t *plaintext, size_t length)
{
	size_t		at = 0;
	size_t		i;
	json_t	   *frame;

	json_array_foreach(json_object_get(test, "plaintext-frames"), i, frame)
	{
		size_t		size = json_string_length(frame);

		if (at + size > length || memcmp(plaintext + at, json_string_value(frame), size) != 0)
			return false;
		at += size;
	}
	return at == length;
}

/* Messages of suites 0x0478 and 0x0578 open as marked. */
/* Open a message by its data key: one that is wrapped here, as if a KEK had done that. */
static bool
open_by_data_key(const EnvelopeMessage *message, const uint8_t *data_key, uint8_t *plaintext)
{
	static const uint8_t kek[ENVELOPE_KEY_SIZE] = {1};
	static const uint8_t iv[ENVELOPE_IV_SIZE] = {2};
	uint8_t		sealed[ENVELOPE_KEY_SIZE], tag[ENVELOPE_TAG_SIZE];
	EnvelopeWrappedKey key = {.iv = iv, .sealed = sealed, .tag = tag};
	EnvelopeCipher *cipher = envelope_cipher_begin(kek, true);
	bool		wrapped = envelope_cipher_seal(cipher, iv, message->context.data,
											   message->context.length, data_key,
											   ENVELOPE_KEY_SIZE, sealed, tag);

	envelope_cipher_end(cipher);
	return wrapped && envelope_open(message, &key, kek, plaintext);
}

static void
check_commitment(const char *file, json_t *root)
{
	static uint8_t bytes[MAX_VECTOR], data_key[MAX_VECTOR], plaintext[MAX_VECTOR];
	Counts		counts = {0};
	size_t		i;
	json_t	   *test;

	json_array_foreach(json_object_get(root, "tests"), i, test)
	{
		size_t		length = from_base64(json_string_value(json_object_get(test, "ciphertext")),
										 bytes);
		bool		valid = json_is_true(json_object_get(test, "status"));
		EnvelopeMessage message;
		bool		opened;

		from_base64(json_string_value(json_object_get(test, "decrypted-dek")), data_key);
		opened = envelope_parse(bytes, length, &message) &&
			open_by_data_key(&message, data_key, plaintext);
		if (opened == valid && (!valid || is_expected(test, plaintext, message.plaintext_length)))
			counts.good++;
		else
		{
			counts.bad++;
			printf("# %s: %s\n", file, json_string_value(json_object_get(test, "comment")));
		}
	}
	ok(counts.bad == 0 && counts.good > 0, "%s: all %d as marked", "key commitment", counts.good);
}

/* Is the vector that a response file has told of one of our parameters? */
static bool
is_our_response(json_t *test)
{
	static const char *const members[] = {"key", "iv", "aad", "msg", "ct", "tag"};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_object_get(test, members[i]) == NULL)
			return false;
	return json_string_length(json_object_get(test, "key")) == 2 * ENVELOPE_KEY_SIZE &&
		json_string_length(json_object_get(test, "iv")) == 2 * ENVELOPE_IV_SIZE &&
		json_string_length(json_object_get(test, "tag")) == 2 * ENVELOPE_TAG_SIZE;
}

/* Take a line "NAME = VALUE" of a response file into the vector. */
static void
read_response_line(json_t *test, const char *line)
{
	static const char *const names[][2] = {{"Key", "key"}, {"IV", "iv"}, {"AAD", "aad"},
	{"PT", "msg"}, {"CT", "ct"}, {"Tag", "tag"}};
	char		name[32];
	char		value[8192] = "";

	if (strncmp(line, "FAIL", 4) == 0)
	{
		json_object_set_new(test, "result", json_string("invalid"));
		json_object_set_new(test, "msg", json_deep_copy(json_object_get(test, "ct")));
	}
	if (sscanf(line, "%31s = %8191s", name, value) < 1)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i][0]) == 0)
			json_object_set_new(test, names[i][1], json_string(value));
}

static void
check_responses(const char *file)
{
	static char line[16384];
	FILE	   *responses = fopen(file, "r");
	json_t	   *test = json_object();
	Counts		counts = {0};
	bool		more = responses != NULL;

	while (more)
	{
		more = fgets(line, sizeof(line), responses) != NULL;
		if (more && strncmp(line, "Count", 5) != 0)
			read_response_line(test, line);
		else if (json_object_get(test, "key") != NULL)
		{
			if (is_our_response(test))
				count(&counts, check_gcm(test), file, test);
			else
				counts.other++;
			json_object_clear(test);
		}
		if (json_object_get(test, "result") == NULL)
			json_object_set_new(test, "result", json_string("valid"));
	}
	if (responses != NULL)
		fclose(responses);
	json_decref(test);
	printf("# %s: %d as marked, %d of other parameters\n", file, counts.good, counts.other);
	ok(counts.bad == 0 && counts.good > 0, "%s: all %d as marked", strrchr(file, '/') + 1, counts.good);
}

static void
check_file(const char *file)
{
	json_error_t error;
	json_t	   *root;

	if (strlen(file) > 4 && strcmp(file + strlen(file) - 4, ".rsp") == 0)
	{
		check_responses(file);
		return;
	}
	root = json_load_file(file, 0, &error);
	if (root == NULL)
		ok(false, "%s can be read (line %d)", file, error.line);
	else if (json_object_get(root, "testGroups") != NULL)
		check_wycheproof(file, root);
	else
		check_commitment(file, root);
	json_decref(root);
}

/* A draft of length bytes in frames of 16, with a context of two entries. */
static EnvelopeDraft
draft_of(const uint8_t *plaintext, size_t length)
{
	static const uint8_t context[] = "\0\2\0\1a\0\1b\0\2cc\0";
	static const uint8_t kek[ENVELOPE_KEY_SIZE] = "0123456789abcdef0123456789abcde";
	EnvelopeDraft draft = {{plaintext, length}, {context, sizeof(context)},
	{(const uint8_t *) "ns", 2}, {(const uint8_t *) "name", 4}, kek, 16};

	return draft;
}

/* Open a message with the draft's KEK as a reader does; plaintext has room for it. */
static bool
open_bytes(const uint8_t *bytes, size_t length, const EnvelopeDraft *draft, uint8_t *plaintext)
{
	EnvelopeMessage message;
	EnvelopeWrappedKey key;

	return envelope_parse(bytes, length, &message) && envelope_next_key(&message, &key) &&
		key.key_namespace.length == 2 && memcmp(key.key_namespace.data, "ns", 2) == 0 &&
		key.key_name.length == 4 && memcmp(key.key_name.data, "name", 4) == 0 &&
		envelope_open(&message, &key, draft->kek, plaintext);
}

/* Round trips at sizes around the frames' edges. */
static void
check_round_trips(void)
{
	static uint8_t plaintext[100], sealed[1000], opened[1000];
	int			bad = 0;

	for (size_t i = 0; i < sizeof(plaintext); i++)
		plaintext[i] = (uint8_t) (i * 7);
	for (size_t length = 0; length <= sizeof(plaintext); length++)
	{
		EnvelopeDraft draft = draft_of(plaintext, length);
		size_t		size = envelope_sealed_size(&draft);

		if (!envelope_seal(&draft, sealed) || !open_bytes(sealed, size, &draft, opened) ||
			memcmp(opened, plaintext, length) != 0)
			bad++;
	}
	ok(bad == 0, "%s of 0 to %d bytes", "round trips", (int) sizeof(plaintext));
}

/* Every bit of every byte changed, every shorter message, a longer one: all refused. */
static void
check_damage(void)
{
	static uint8_t plaintext[40], sealed[1000], opened[1000];
	EnvelopeDraft draft = draft_of(plaintext, sizeof(plaintext));
	size_t		size = envelope_sealed_size(&draft);
	int			accepted = 0;

	envelope_seal(&draft, sealed);
	for (size_t i = 0; i < size; i++)
		for (int change = 1; change < 256; change++)
		{
			sealed[i] ^= change;
			accepted += open_bytes(sealed, size, &draft, opened);
			sealed[i] ^= change;
		}
	ok(accepted == 0, "%s of %d is refused", "every change of a byte", (int) size);

	accepted = 0;
	for (size_t length = 0; length < size; length++)
	{
		/* of this size exactly, so that a read past its end shows under a checker */
		uint8_t    *copy = malloc(length + 1);

		memcpy(copy, sealed, length);
		accepted += open_bytes(copy, length, &draft, opened);
		free(copy);
	}
	sealed[size] = 0;
	accepted += open_bytes(sealed, size + 1, &draft, opened);
	ok(accepted == 0 && open_bytes(sealed, size, &draft, opened),
	   "%s is refused, %d bytes are not", "a cut or extended message", (int) size);
}

/* Frames from one message in another, and in another order. */
static void
check_splices(void)
{
	static uint8_t plaintext[48], one[1000], two[1000], opened[1000];
	EnvelopeDraft draft = draft_of(plaintext, sizeof(plaintext));
	size_t		size = envelope_sealed_size(&draft);
	size_t		body = size - 2 * 48 - 56;
	int			accepted = 0;

	envelope_seal(&draft, one);
	envelope_seal(&draft, two);
	ok(memcmp(one + body, two + body, size - body) != 0 &&
	   memcmp(one + 3, two + 3, ENVELOPE_MESSAGE_ID_SIZE) != 0,
	   "%s make %d unlike messages", "equal plaintexts", 2);
	memcpy(one + body, two + body, 48);
	accepted += open_bytes(one, size, &draft, opened);
	envelope_seal(&draft, one);
	memcpy(two, one, size);
	memcpy(two + body, one + body + 48, 48);
	memcpy(two + body + 48, one + body, 48);
	accepted += open_bytes(two, size, &draft, opened);
	memcpy(two + body, one + body, 48);
	memcpy(two + body + 48, one + body + 96, 56);
	accepted += open_bytes(two, size - 48, &draft, opened);
	ok(accepted == 0, "%s are refused (%d)", "exchanged and left out frames", 3);
}

/* Is a message that claims more plaintext than it has bytes taken for one? */
static bool
is_believed(const uint8_t *bytes, size_t size)
{
	EnvelopeMessage message;

	return envelope_parse(bytes, size, &message) && message.plaintext_length > size;
}

/*
 * Sizes of 2 GB and more, wherever the message has a number: none leads to more
 * memory for plaintext than the message itself takes.  Of a message with frames,
 * and of one that is changed into one without.
 */
static void
check_claims(void)
{
	static const uint8_t claims[][8] = {
		{0x7F, 0xFF, 0xFF, 0xFF}, {0x80}, {0xFF, 0xFF, 0xFF, 0xFF}, {0xFF, 0xFF, 0xFF, 0xEF},
		{0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF}, {0, 0, 0, 1}, {0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xE0},
	};
	static uint8_t plaintext[16], sealed[1000], claiming[1000];
	EnvelopeDraft draft = draft_of(plaintext, sizeof(plaintext));
	size_t		size = envelope_sealed_size(&draft);
	size_t		body = size - 40 - sizeof(plaintext);
	int			believed = 0;

	envelope_seal(&draft, sealed);
	for (int unframed = 0; unframed < 2; unframed++)
	{
		if (unframed)
		{
			sealed[body - 53] = 1;
			memset(sealed + body - 52, 0, 4);
		}
		for (size_t at = 0; at + 8 <= size; at++)
			for (size_t i = 0; i < 2 * sizeof(claims) / sizeof(claims[0]); i++)
			{
				memcpy(claiming, sealed, size);
				memcpy(claiming + at, claims[i / 2], i % 2 == 0 ? 4 : 8);
				believed += is_believed(claiming, size);
			}
	}
	ok(believed == 0, "%s: %d believed", "claims of 2 GB and more", believed);
}

/*
 * A commitment to another key, under a header tag that is right for it: only
 * who has the data key can write that, and the tag alone would let it pass.
 */
static void
check_other_commitment(void)
{
	static const uint8_t info[] = "\x04\x78" "DERIVEKEY";
	static const uint8_t header_iv[ENVELOPE_IV_SIZE] = {0};
	static uint8_t plaintext[40], sealed[1000], opened[1000];
	EnvelopeDraft draft = draft_of(plaintext, sizeof(plaintext));
	size_t		size = envelope_sealed_size(&draft);
	uint8_t		data_key[ENVELOPE_KEY_SIZE], content_key[ENVELOPE_KEY_SIZE];
	EnvelopeMessage message;
	EnvelopeWrappedKey key;
	EnvelopeHmacKey prk;
	EnvelopeCipher *cipher;
	bool		ready;

	ready = envelope_seal(&draft, sealed) && envelope_parse(sealed, size, &message) &&
		envelope_next_key(&message, &key);
	cipher = envelope_cipher_begin(draft.kek, false);
	ready = ready && envelope_cipher_open(cipher, key.iv, message.context.data, message.context.length,
										  key.sealed, ENVELOPE_KEY_SIZE, key.tag, data_key);
	envelope_cipher_end(cipher);
	envelope_hkdf_extract(message.id, ENVELOPE_MESSAGE_ID_SIZE, data_key, sizeof(data_key), &prk);
	envelope_hkdf_expand(&prk, info, sizeof(info) - 1, content_key, sizeof(content_key));
	cipher = envelope_cipher_begin(content_key, true);
	for (int change = 0; change < 2; change++)
	{
		sealed[message.commitment - sealed] ^= change;
		ready = ready && envelope_cipher_seal(cipher, header_iv, sealed, message.header.length, NULL,
											  0, NULL, sealed + message.header.length);
		ok(ready && open_bytes(sealed, size, &draft, opened) == (change == 0),
		   "%s (%d) is refused, the right one is not", "a commitment to another key", change);
	}
	envelope_cipher_end(cipher);
}

/* Random bytes behind a sound beginning. */
static void
check_noise(unsigned seed)
{
	static uint8_t plaintext[40], sealed[1000], opened[1000];
	EnvelopeDraft draft = draft_of(plaintext, sizeof(plaintext));
	size_t		size = envelope_sealed_size(&draft);
	int			accepted = 0;

	srand(seed);
	envelope_seal(&draft, sealed);
	for (int i = 0; i < 200000; i++)
	{
		uint8_t    *noise = malloc(size);
		size_t		from = rand() % size;
		size_t		length = from + rand() % (size - from);

		memcpy(noise, sealed, size);
		for (size_t at = from; at < length; at++)
			noise[at] = (rand() & 3) ? rand() : 0xFF;
		if (memcmp(noise, sealed, length) != 0 || length < size)
			accepted += open_bytes(noise, length, &draft, opened);
		free(noise);
	}
	ok(accepted == 0, "%s: none of %d is opened", "random damage", 200000);
}

static void
check_contexts(void)
{
	static const struct
	{
		const char *bytes;
		size_t		length;
		bool		valid;
	}			cases[] = {
		{"", 0, true}, {"\0", 1, false}, {"\0\0", 2, false},
		{"\0\1\0\1a\0\1b", 8, true}, {"\0\1\0\1a\0\1b\0", 9, false}, {"\0\1\0\1a\0\2b", 8, false},
		{"\0\2\0\1a\0\1b\0\1a\0\1b", 14, false}, {"\0\2\0\1b\0\1b\0\1a\0\1b", 14, false},
		{"\0\2\0\1a\0\1b\0\1b\0\1b", 14, true}, {"\0\2\0\1a\0\1b\0\2aa\0\0", 14, true},
		{"\377\377\0\1a\0\1b", 8, false}, {"\0\1\377\377a\0\1b", 8, false},
	};
	int			bad = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EnvelopeBytes context = {(const uint8_t *) cases[i].bytes, cases[i].length};

		bad += envelope_context_is_valid(context) != cases[i].valid;
	}
	ok(bad == 0, "%s: %d wrong", "contexts in canonical form", bad);
}

/* RFC 4231, test cases 1, 2, 6 (a key longer than a block). */
static void
check_hmac(void)
{
	static const struct
	{
		const char *key;
		const char *data;
		const char *hash;
	}			cases[] = {
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
		{NULL, "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
		"80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"},
	};
	int			bad = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		static uint8_t key[MAX_VECTOR], data[MAX_VECTOR], expected[MAX_VECTOR];
		uint8_t		hash[ENVELOPE_HASH_SIZE];
		size_t		key_length = 131;

		memset(key, 0xaa, key_length);
		if (cases[i].key != NULL)
			key_length = from_hex(cases[i].key, key);
		from_hex(cases[i].hash, expected);
		envelope_hmac(key, key_length, data, from_hex(cases[i].data, data), hash);
		bad += memcmp(hash, expected, sizeof(hash)) != 0;
	}
	ok(bad == 0, "%s: %d wrong", "HMAC-SHA-512 of RFC 4231", bad);
}

/* Random bytes never come twice, not even in a child that is forked. */
static void
check_random(void)
{
	static uint8_t drawn[202][76];
	int			ends[2];
	int			equal = 0;
	bool		good = pipe(ends) == 0;
	pid_t		child;

	for (int i = 0; i < 200; i++)
		good = good && envelope_random(drawn[i], sizeof(drawn[i]));
	fflush(stdout);
	child = fork();
	good = good && child >= 0 && envelope_random(drawn[200], sizeof(drawn[200]));
	if (child == 0)
		_exit(write(ends[1], drawn[200], sizeof(drawn[200])) < 0);
	close(ends[1]);
	good = good && read(ends[0], drawn[201], sizeof(drawn[201])) == sizeof(drawn[201]);
	waitpid(child, NULL, 0);
	for (int i = 0; i < 202; i++)
		for (int j = 0; j < i; j++)
			equal += memcmp(drawn[i], drawn[j], sizeof(drawn[i])) == 0;
	ok(good && equal == 0, "%s: %d equal", "random bytes, in two processes", equal);
}

static void
check_own_gcm(void)
{
	/* NIST's GCM revised specification, test case 16 */
	json_t	   *test = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
								 "key", "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
								 "iv", "cafebabefacedbaddecaf888",
								 "aad", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
								 "msg", "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
								 "ct", "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
								 "tag", "76fc6ece0f4e1768cddf8853bb2d551b",
								 "result", "valid");

	ok(check_gcm(test), "%s, test case %d", "GCM specification", 16);
	json_object_set_new(test, "tag", json_string("76fc6ece0f4e1768cddf8853bb2d551a"));
	json_object_set_new(test, "result", json_string("invalid"));
	ok(check_gcm(test), "%s, test case %d with another tag", "GCM specification", 16);
	json_decref(test);
}

int
main(int argc, char **argv)
{
	check_hmac();
	check_own_gcm();
	check_contexts();
	check_round_trips();
	check_damage();
	check_splices();
	check_claims();
	check_other_commitment();
	check_noise(argc);
	check_random();
	for (int i = 1; i < argc; i++)
		check_file(argv[i]);
	printf("1..%d\n", tests);
	return 0;
}
