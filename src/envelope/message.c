/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Writing and reading of messages.
 *
 * A message is
 *
 *	version 1, suite 2, message id 32,
 *	context length 2, context,
 *	count of wrapped keys 2, each: provider id, provider info and wrapped key,
 *	each after its length in 2,
 *	content type 1, frame length 4, commitment 32, header tag 16,
 *	frames: sequence number 4, IV 12, content, tag 16; before the last frame
 *	0xFFFFFFFF, and in it the content's length in 4 before the content,
 *	in suite 0x0578 a signature of all before it, after its length in 2; the
 *	context has the public key.
 *
 * Numbers are big-endian, lengths in bytes.  HKDF with the message id as salt
 * makes a content key and the commitment from the data key; the content key
 * seals the header (IV 0) and the frames (IV: sequence number), so that it must
 * never seal a second header or frame: messages are not changed in place.
 * Others may choose IVs otherwise; the tags tell.
 *
 * A raw AES key's provider info is its name, the tag's length in bits, the IV's
 * length (4 bytes each) and the IV; the wrapped key ends with its tag.
 *
 *-------------------------------------------------------------------------
 */
#include "envelope/message.h"

#include <limits.h>
#include <string.h>

#define FORMAT_VERSION		0x02
#define SUITE_ID			0x0478	/* AES-256-GCM, HKDF-SHA-512, commitment */
#define SIGNED_SUITE_ID		0x0578	/* the same with ECDSA, P-384, SHA-384 */
#define SIGNATURE_KEY		"aws-crypto-public-key" /* in the context */
#define CONTENT_UNFRAMED	0x01
#define CONTENT_FRAMED		0x02
#define LAST_FRAME			UINT32_C(0xFFFFFFFF)

/* What the tag of a piece of content covers besides it. */
#define FRAME_LABEL			"AWSKMSEncryptionClient Frame"
#define LAST_FRAME_LABEL	"AWSKMSEncryptionClient Final Frame"
#define UNFRAMED_LABEL		"AWSKMSEncryptionClient Single Block"

#define KEY_INFO_SIZE		(4 + 4 + ENVELOPE_IV_SIZE)	/* after the name */
#define WRAPPED_KEY_SIZE	(ENVELOPE_KEY_SIZE + ENVELOPE_TAG_SIZE)
#define FRAME_OVERHEAD		(4 + ENVELOPE_IV_SIZE + ENVELOPE_TAG_SIZE)
#define LAST_FRAME_OVERHEAD (4 + 4 + FRAME_OVERHEAD)

/* The keys that HKDF makes from a data key. */
typedef struct DerivedKeys
{
	uint8_t		content[ENVELOPE_KEY_SIZE];
	uint8_t		commitment[ENVELOPE_KEY_SIZE];
} DerivedKeys;

/* What is drawn for a message, at once: a draw costs more than its bytes. */
typedef struct FreshSecrets
{
	uint8_t		data_key[ENVELOPE_KEY_SIZE];
	uint8_t		message_id[ENVELOPE_MESSAGE_ID_SIZE];
	uint8_t		wrap_iv[ENVELOPE_IV_SIZE];
} FreshSecrets;

/* Bytes yet to be read; after a read past their end, failed stays true. */
typedef struct Reader
{
	const uint8_t *at;
	size_t		left;
	bool		failed;
} Reader;

/* A frame that is to be opened. */
typedef struct Frame
{
	bool		last;
	const char *label;
	uint32_t	sequence;
	const uint8_t *iv;
	const uint8_t *content;
	const uint8_t *tag;
	size_t		length;			/* of the content */
} Frame;

static uint8_t *
put_bytes(uint8_t *at, const void *data, size_t length)
{
	if (length > 0)
		memcpy(at, data, length);
	return at + length;
}

static uint8_t *
put_number(uint8_t *at, uint64_t number, int size)
{
	for (int i = size - 1; i >= 0; i--, number >>= 8)
		at[i] = (uint8_t) number;
	return at + size;
}

static uint8_t *
put_field(uint8_t *at, EnvelopeBytes field)
{
	return put_bytes(put_number(at, field.length, 2), field.data, field.length);
}

/* The next length bytes; when they are not there, a failure and NULL. */
static const uint8_t *
take_bytes(Reader *reader, size_t length)
{
	const uint8_t *data = reader->at;

	if (reader->failed || length > reader->left)
	{
		reader->failed = true;
		return NULL;
	}
	reader->at += length;
	reader->left -= length;
	return data;
}

static uint64_t
take_number(Reader *reader, int size)
{
	const uint8_t *data = take_bytes(reader, size);
	uint64_t	number = 0;

	for (int i = 0; data != NULL && i < size; i++)
		number = number << 8 | data[i];
	return number;
}

static EnvelopeBytes
take_field(Reader *reader)
{
	EnvelopeBytes field;

	field.length = take_number(reader, 2);
	field.data = take_bytes(reader, field.length);
	return field;
}

static Reader
read_from(EnvelopeBytes bytes)
{
	Reader		reader = {bytes.data, bytes.length, false};

	return reader;
}

/* Does a sort before b, as bytes? */
static bool
is_before(EnvelopeBytes a, EnvelopeBytes b)
{
	size_t		shorter = a.length < b.length ? a.length : b.length;
	int			order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;

	return order < 0 || (order == 0 && a.length < b.length);
}

/* Is a context's key the one that belongs to the format? */
static bool
is_signature_key(EnvelopeBytes key)
{
	return key.length == strlen(SIGNATURE_KEY) &&
		memcmp(key.data, SIGNATURE_KEY, key.length) == 0;
}

bool
envelope_context_is_valid(EnvelopeBytes context)
{
	Reader		reader = read_from(context);
	EnvelopeBytes previous = {NULL, 0};
	bool		has_signature_key = false;
	uint32_t	count;

	if (context.length == 0)
		return true;
	count = take_number(&reader, 2);
	for (uint32_t i = 0; i < count; i++)
	{
		EnvelopeBytes key = take_field(&reader);

		(void) take_field(&reader);
		if (reader.failed)
			return false;
		if (is_signature_key(key))
		{
			/* some writers add it in the end; there is one at most */
			if (has_signature_key)
				return false;
			has_signature_key = true;
			continue;
		}
		if (previous.data != NULL && !is_before(previous, key))
			return false;
		previous = key;
	}
	return count > 0 && !reader.failed && reader.left == 0;
}

/* The public key in a valid context; empty when there is none. */
static EnvelopeBytes
find_signature_key(EnvelopeBytes context)
{
	Reader		reader = read_from(context);
	EnvelopeBytes value = {NULL, 0};

	(void) take_number(&reader, 2);
	while (!reader.failed && reader.left > 0)
	{
		bool		found = is_signature_key(take_field(&reader));

		value = take_field(&reader);
		if (found)
			return value;
	}
	value.length = 0;
	return value;
}

static bool
is_equal(EnvelopeBytes a, EnvelopeBytes b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool
envelope_context_is(const EnvelopeMessage *message, EnvelopeBytes expected)
{
	Reader		has = read_from(message->context);
	Reader		wants = read_from(expected);

	if (message->suite != SIGNED_SUITE_ID)
		return is_equal(message->context, expected);
	(void) take_number(&has, 2);
	if (wants.left > 0)
		(void) take_number(&wants, 2);
	while (!has.failed && !wants.failed && has.left > 0)
	{
		EnvelopeBytes key = take_field(&has);
		EnvelopeBytes value = take_field(&has);

		if (!is_signature_key(key) &&
			(!is_equal(key, take_field(&wants)) || !is_equal(value, take_field(&wants))))
			return false;
	}
	return !has.failed && !wants.failed && wants.left == 0;
}

/* Make the keys for a message of that suite, or their commitment differs. */
static void
derive(uint16_t suite, const uint8_t *data_key, const uint8_t *message_id, DerivedKeys *keys)
{
	uint8_t		content_info[] = {suite >> 8, suite & 0xFF,
	'D', 'E', 'R', 'I', 'V', 'E', 'K', 'E', 'Y'};
	static const uint8_t commitment_info[] = {'C', 'O', 'M', 'M', 'I', 'T', 'K', 'E', 'Y'};
	EnvelopeHmacKey prk;

	envelope_hkdf_extract(message_id, ENVELOPE_MESSAGE_ID_SIZE, data_key, ENVELOPE_KEY_SIZE,
						  &prk);
	envelope_hkdf_expand(&prk, content_info, sizeof(content_info), keys->content,
						 ENVELOPE_KEY_SIZE);
	envelope_hkdf_expand(&prk, commitment_info, sizeof(commitment_info), keys->commitment,
						 ENVELOPE_KEY_SIZE);
	envelope_wipe(&prk, sizeof(prk));
}

/* What a frame's tag covers besides the content; returns its length. */
static size_t
frame_aad(const uint8_t *message_id, const char *label, uint32_t sequence, size_t length,
		  uint8_t *aad)
{
	uint8_t    *at = put_bytes(aad, message_id, ENVELOPE_MESSAGE_ID_SIZE);

	at = put_bytes(at, label, strlen(label));
	at = put_number(at, sequence, 4);
	at = put_number(at, length, 8);
	return at - aad;
}

#define FRAME_AAD_SIZE (ENVELOPE_MESSAGE_ID_SIZE + 64)

/* Frames before the last one, which is full when the length is a multiple. */
static size_t
full_frames(size_t length, uint32_t frame_length)
{
	return length > 0 ? (length - 1) / frame_length : 0;
}

static size_t
header_size(const EnvelopeDraft *draft)
{
	return 1 + 2 + ENVELOPE_MESSAGE_ID_SIZE + 2 + draft->context.length +
		2 + 2 + draft->key_namespace.length + 2 + draft->key_name.length + KEY_INFO_SIZE +
		2 + WRAPPED_KEY_SIZE + 1 + 4 + ENVELOPE_KEY_SIZE;
}

size_t
envelope_sealed_size(const EnvelopeDraft *draft)
{
	return header_size(draft) + ENVELOPE_TAG_SIZE +
		full_frames(draft->plaintext.length, draft->frame_length) * FRAME_OVERHEAD +
		draft->plaintext.length + LAST_FRAME_OVERHEAD;
}

/* Write the data key, wrapped by the cipher's key; NULL on failure. */
static uint8_t *
put_wrapped_key(uint8_t *at, EnvelopeCipher *cipher, const EnvelopeDraft *draft,
				const uint8_t *data_key, const uint8_t *iv)
{
	at = put_field(at, draft->key_namespace);
	at = put_number(at, draft->key_name.length + KEY_INFO_SIZE, 2);
	at = put_bytes(at, draft->key_name.data, draft->key_name.length);
	at = put_number(at, ENVELOPE_TAG_SIZE * 8, 4);
	at = put_number(at, ENVELOPE_IV_SIZE, 4);
	at = put_bytes(at, iv, ENVELOPE_IV_SIZE);
	at = put_number(at, WRAPPED_KEY_SIZE, 2);
	if (!envelope_cipher_seal(cipher, iv, draft->context.data, draft->context.length, data_key,
							  ENVELOPE_KEY_SIZE, at, at + ENVELOPE_KEY_SIZE))
		return NULL;
	return at + WRAPPED_KEY_SIZE;
}

/* Write a frame; NULL on failure. */
static uint8_t *
put_frame(uint8_t *at, EnvelopeCipher *cipher, const uint8_t *message_id, bool last,
		  uint32_t sequence, const uint8_t *content, size_t length)
{
	uint8_t		aad[FRAME_AAD_SIZE];
	size_t		aad_length = frame_aad(message_id, last ? LAST_FRAME_LABEL : FRAME_LABEL,
									   sequence, length, aad);
	uint8_t    *iv;

	if (last)
		at = put_number(at, LAST_FRAME, 4);
	at = put_number(at, sequence, 4);
	iv = at;
	at = put_number(at, 0, ENVELOPE_IV_SIZE - 4);
	at = put_number(at, sequence, 4);
	if (last)
		at = put_number(at, length, 4);
	if (!envelope_cipher_seal(cipher, iv, aad, aad_length, content, length, at, at + length))
		return NULL;
	return at + length + ENVELOPE_TAG_SIZE;
}

static bool
put_frames(uint8_t *at, EnvelopeCipher *cipher, const uint8_t *message_id,
		   EnvelopeBytes plaintext, uint32_t frame_length)
{
	size_t		full = full_frames(plaintext.length, frame_length);
	const uint8_t *content = plaintext.data;

	for (size_t i = 0; i < full && at != NULL; i++, content += frame_length)
		at = put_frame(at, cipher, message_id, false, (uint32_t) (i + 1), content, frame_length);
	return at != NULL &&
		put_frame(at, cipher, message_id, true, (uint32_t) (full + 1), content,
				  plaintext.length - full * frame_length) != NULL;
}

/*
 * Write the header with its tag.  The cipher comes with the key that wraps, and
 * has the content key afterwards.  NULL on failure.
 */
static uint8_t *
put_header(uint8_t *output, EnvelopeCipher *cipher, const EnvelopeDraft *draft,
		   const FreshSecrets *fresh, const DerivedKeys *keys)
{
	static const uint8_t header_iv[ENVELOPE_IV_SIZE] = {0};
	uint8_t    *at = output;

	at = put_number(at, FORMAT_VERSION, 1);
	at = put_number(at, SUITE_ID, 2);
	at = put_bytes(at, fresh->message_id, ENVELOPE_MESSAGE_ID_SIZE);
	at = put_field(at, draft->context);
	at = put_number(at, 1, 2);
	at = put_wrapped_key(at, cipher, draft, fresh->data_key, fresh->wrap_iv);
	if (at == NULL || !envelope_cipher_set_key(cipher, keys->content))
		return NULL;
	at = put_number(at, CONTENT_FRAMED, 1);
	at = put_number(at, draft->frame_length, 4);
	at = put_bytes(at, keys->commitment, ENVELOPE_KEY_SIZE);
	if (!envelope_cipher_seal(cipher, header_iv, output, at - output, NULL, 0, NULL, at))
		return NULL;
	return at + ENVELOPE_TAG_SIZE;
}

bool
envelope_seal(const EnvelopeDraft *draft, uint8_t *output)
{
	FreshSecrets fresh;
	DerivedKeys keys;
	EnvelopeCipher *cipher;
	uint8_t    *frames = NULL;
	bool		done;

	if (!envelope_random(&fresh, sizeof(fresh)))
		return false;
	derive(SUITE_ID, fresh.data_key, fresh.message_id, &keys);
	cipher = envelope_cipher_begin(draft->kek, true);
	if (cipher != NULL)
		frames = put_header(output, cipher, draft, &fresh, &keys);
	done = frames != NULL &&
		put_frames(frames, cipher, fresh.message_id, draft->plaintext, draft->frame_length);
	envelope_cipher_end(cipher);
	envelope_wipe(&fresh, sizeof(fresh));
	envelope_wipe(&keys, sizeof(keys));
	return done;
}

/* Split off the frame of this sequence number; false when the next bytes are not one. */
static bool
take_frame(Reader *reader, uint32_t frame_length, uint32_t sequence, Frame *frame)
{
	uint32_t	number = take_number(reader, 4);

	frame->last = number == LAST_FRAME;
	frame->label = frame->last ? LAST_FRAME_LABEL : FRAME_LABEL;
	frame->sequence = sequence;
	if (frame->last)
		number = take_number(reader, 4);
	frame->iv = take_bytes(reader, ENVELOPE_IV_SIZE);
	frame->length = frame->last ? take_number(reader, 4) : frame_length;
	frame->content = take_bytes(reader, frame->length);
	frame->tag = take_bytes(reader, ENVELOPE_TAG_SIZE);
	return !reader->failed && number == sequence &&
		frame->length <= frame_length && frame->length <= INT_MAX;
}

/* Split off content without frames, as if it were the only one. */
static bool
take_unframed(Reader *reader, Frame *frame)
{
	frame->last = true;
	frame->label = UNFRAMED_LABEL;
	frame->sequence = 1;
	frame->iv = take_bytes(reader, ENVELOPE_IV_SIZE);
	frame->length = take_number(reader, 8);
	frame->content = take_bytes(reader, frame->length);
	frame->tag = take_bytes(reader, ENVELOPE_TAG_SIZE);
	return !reader->failed && frame->length <= INT_MAX;
}

/* The piece of content of this sequence number; frame_length 0: the only one. */
static bool
take_content(Reader *reader, uint32_t frame_length, uint32_t sequence, Frame *frame)
{
	return frame_length > 0 ? take_frame(reader, frame_length, sequence, frame) :
		take_unframed(reader, frame);
}

/* Walk over the frames to their end; adds up the plaintext. */
static bool
take_frames(Reader *reader, EnvelopeMessage *message)
{
	Frame		frame = {0};

	message->frames.data = reader->at;
	message->plaintext_length = 0;
	for (uint32_t sequence = 1; !frame.last; sequence++)
	{
		if (!take_content(reader, message->frame_length, sequence, &frame))
			return false;
		message->plaintext_length += frame.length;
	}
	message->frames.length = reader->at - message->frames.data;
	return true;
}

/* Find what a signed message ends with; false when it lacks something of it. */
static bool
take_signature(Reader *reader, EnvelopeMessage *message)
{
	message->signed_part.data = message->header.data;
	message->signed_part.length = reader->at - message->header.data;
	message->signature = take_field(reader);
	message->signature_key = find_signature_key(message->context);
	return !reader->failed && message->signature.length > 0 && message->signature_key.length > 0;
}

/* Find the wrapped keys, at least one, whoever may unwrap them. */
static bool
take_wrapped_keys(Reader *reader, EnvelopeBytes *keys)
{
	uint32_t	count = take_number(reader, 2);

	keys->data = reader->at;
	for (uint32_t i = 0; i < count * 3 && !reader->failed; i++)
		(void) take_field(reader);
	keys->length = reader->at - keys->data;
	return count > 0 && !reader->failed;
}

bool
envelope_parse(const void *bytes, size_t length, EnvelopeMessage *message)
{
	Reader		reader = {bytes, length, false};
	uint64_t	content_type;
	bool		known = take_number(&reader, 1) == FORMAT_VERSION;

	message->suite = take_number(&reader, 2);
	known = known && (message->suite == SUITE_ID || message->suite == SIGNED_SUITE_ID);
	message->id = take_bytes(&reader, ENVELOPE_MESSAGE_ID_SIZE);
	message->context = take_field(&reader);
	if (!known || reader.failed || !envelope_context_is_valid(message->context) ||
		!take_wrapped_keys(&reader, &message->wrapped_keys))
		return false;
	content_type = take_number(&reader, 1);
	message->frame_length = take_number(&reader, 4);
	message->commitment = take_bytes(&reader, ENVELOPE_KEY_SIZE);
	message->header.data = bytes;
	message->header.length = length - reader.left;
	message->header_tag = take_bytes(&reader, ENVELOPE_TAG_SIZE);
	return !reader.failed &&
		content_type == (message->frame_length > 0 ? CONTENT_FRAMED : CONTENT_UNFRAMED) &&
		take_frames(&reader, message) &&
		(message->suite != SIGNED_SUITE_ID || take_signature(&reader, message)) &&
		reader.left == 0;
}

/* Split a raw AES key's provider info and wrapped key; false for any other provider's. */
static bool
split_wrapped_key(EnvelopeBytes info, EnvelopeBytes sealed, EnvelopeWrappedKey *key)
{
	Reader		reader;

	if (info.length < KEY_INFO_SIZE || sealed.length != WRAPPED_KEY_SIZE)
		return false;
	key->key_name.data = info.data;
	key->key_name.length = info.length - KEY_INFO_SIZE;
	reader.at = info.data + key->key_name.length;
	reader.left = KEY_INFO_SIZE;
	reader.failed = false;
	if (take_number(&reader, 4) != ENVELOPE_TAG_SIZE * 8 ||
		take_number(&reader, 4) != ENVELOPE_IV_SIZE)
		return false;
	key->iv = reader.at;
	key->sealed = sealed.data;
	key->tag = sealed.data + ENVELOPE_KEY_SIZE;
	return true;
}

bool
envelope_next_key(EnvelopeMessage *message, EnvelopeWrappedKey *key)
{
	Reader		reader = read_from(message->wrapped_keys);
	bool		found = false;

	while (!found && reader.left > 0)
	{
		EnvelopeBytes info;

		key->key_namespace = take_field(&reader);
		info = take_field(&reader);
		found = split_wrapped_key(info, take_field(&reader), key);
	}
	message->wrapped_keys.data = reader.at;
	message->wrapped_keys.length = reader.left;
	return found;
}

/* Does the header stand under the key that the commitment names? */
static bool
verify_header(const EnvelopeMessage *message, const DerivedKeys *keys, EnvelopeCipher *cipher)
{
	static const uint8_t header_iv[ENVELOPE_IV_SIZE] = {0};

	return envelope_equal(keys->commitment, message->commitment, ENVELOPE_KEY_SIZE) &&
		envelope_cipher_open(cipher, header_iv, message->header.data, message->header.length,
							 NULL, 0, message->header_tag, NULL);
}

static bool
open_frames(const EnvelopeMessage *message, EnvelopeCipher *cipher, uint8_t *plaintext)
{
	Reader		reader = read_from(message->frames);
	uint8_t		aad[FRAME_AAD_SIZE];
	Frame		frame = {0};

	for (uint32_t sequence = 1; !frame.last; sequence++)
	{
		size_t		aad_length;

		if (!take_content(&reader, message->frame_length, sequence, &frame))
			return false;
		aad_length = frame_aad(message->id, frame.label, frame.sequence, frame.length, aad);
		if (!envelope_cipher_open(cipher, frame.iv, aad, aad_length, frame.content, frame.length,
								  frame.tag, plaintext))
			return false;
		plaintext += frame.length;
	}
	return true;
}

/* Is a signed message's signature the right one? */
static bool
verify_signature(const EnvelopeMessage *message)
{
	return message->suite != SIGNED_SUITE_ID ||
		envelope_verify_signature(message->signature_key.data, message->signature_key.length,
								  message->signed_part.data, message->signed_part.length,
								  message->signature.data, message->signature.length);
}

/* Verify and decrypt all after the wrapped keys; the cipher's key becomes the content key. */
static bool
open_content(const EnvelopeMessage *message, EnvelopeCipher *cipher, const uint8_t *data_key,
			 uint8_t *plaintext)
{
	DerivedKeys keys;
	bool		done;

	derive(message->suite, data_key, message->id, &keys);
	done = envelope_cipher_set_key(cipher, keys.content) &&
		verify_header(message, &keys, cipher) && open_frames(message, cipher, plaintext) &&
		verify_signature(message);
	envelope_wipe(&keys, sizeof(keys));
	if (!done)
		envelope_wipe(plaintext, message->plaintext_length);
	return done;
}

bool
envelope_open(const EnvelopeMessage *message, const EnvelopeWrappedKey *key, const uint8_t *kek,
			  uint8_t *plaintext)
{
	uint8_t		data_key[ENVELOPE_KEY_SIZE];
	EnvelopeCipher *cipher = envelope_cipher_begin(kek, false);
	bool		done;

	done = cipher != NULL &&
		envelope_cipher_open(cipher, key->iv, message->context.data, message->context.length,
							 key->sealed, ENVELOPE_KEY_SIZE, key->tag, data_key) &&
		open_content(message, cipher, data_key, plaintext);
	envelope_cipher_end(cipher);
	envelope_wipe(data_key, sizeof(data_key));
	return done;
}
