/*-------------------------------------------------------------------------
 *
 * message.h
 *	  The message format: AWS Encryption SDK message format 2.0, algorithm
 *	  suite 0x0478, framed, with data keys wrapped by raw AES keys.  Messages of
 *	  suite 0x0578, which are signed besides, are read, not written.
 *
 * Plain C without server headers, like crypto.h.  Parsing allocates nothing and
 * copies nothing: an EnvelopeMessage points into the bytes it was made from.
 *
 * The format is described in the AWS Encryption SDK Developer Guide, "Message
 * format reference", the wrapping in the SDK specification, "Raw AES keyring"
 * (github.com/awslabs/aws-encryption-sdk-specification).
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ENVELOPE_MESSAGE_H
#define PADLOCK_ENVELOPE_MESSAGE_H

#include "envelope/crypto.h"

/*
 * Plaintext bytes a frame.  Larger ones are no faster (test/bench/envelope.sh),
 * and a reader that streams keeps a frame in memory until its tag is checked.
 */
#define ENVELOPE_FRAME_LENGTH	(256 * 1024)

#define ENVELOPE_MAX_CONTEXT	65535	/* bytes of a serialised context */
#define ENVELOPE_MESSAGE_ID_SIZE 32

/* Bytes that somebody else owns. */
typedef struct EnvelopeBytes
{
	const uint8_t *data;
	size_t		length;
} EnvelopeBytes;

/* What goes into a message. */
typedef struct EnvelopeDraft
{
	EnvelopeBytes plaintext;
	EnvelopeBytes context;		/* serialised, see envelope_context_is_valid() */
	EnvelopeBytes key_namespace;	/* of the key that wraps: provider id */
	EnvelopeBytes key_name;		/* its name in there: provider info */
	const uint8_t *kek;			/* ENVELOPE_KEY_SIZE bytes */
	uint32_t	frame_length;
} EnvelopeDraft;

/* A well-formed message; nothing in it is verified yet. */
typedef struct EnvelopeMessage
{
	uint16_t	suite;
	EnvelopeBytes header;		/* what the header's tag covers */
	const uint8_t *id;			/* ENVELOPE_MESSAGE_ID_SIZE bytes */
	EnvelopeBytes context;		/* serialised */
	EnvelopeBytes wrapped_keys; /* those not read yet */
	const uint8_t *commitment;	/* ENVELOPE_KEY_SIZE bytes */
	const uint8_t *header_tag;
	EnvelopeBytes frames;
	EnvelopeBytes signed_part;	/* all before the signature; both empty when there is none */
	EnvelopeBytes signature;
	EnvelopeBytes signature_key;	/* from the context */
	uint32_t	frame_length;	/* 0: content without frames */
	size_t		plaintext_length;
} EnvelopeMessage;

/* A data key as a raw AES key wrapped it. */
typedef struct EnvelopeWrappedKey
{
	EnvelopeBytes key_namespace;
	EnvelopeBytes key_name;
	const uint8_t *iv;
	const uint8_t *sealed;		/* ENVELOPE_KEY_SIZE bytes */
	const uint8_t *tag;
} EnvelopeWrappedKey;

/*
 * Is this a serialised context: a count, then that many pairs of texts, each
 * after its length in two bytes, with keys ascending by their bytes, but for the
 * one of signatures?  Empty for an empty one.
 */
extern bool envelope_context_is_valid(EnvelopeBytes context);

/*
 * Has the message this context, serialised?  The public key that a signed
 * message has in its own is the format's, and not compared.
 */
extern bool envelope_context_is(const EnvelopeMessage *message, EnvelopeBytes expected);

/* The size of the message that a draft makes; its texts must be below 64 kB. */
extern size_t envelope_sealed_size(const EnvelopeDraft *draft);

/* Write the message to output, which is of that size; false when OpenSSL fails. */
extern bool envelope_seal(const EnvelopeDraft *draft, uint8_t *output);

/* Find the parts of a message; false unless every byte of it is accounted for. */
extern bool envelope_parse(const void *bytes, size_t length, EnvelopeMessage *message);

/*
 * The next wrapped data key of the message that a raw AES key can unwrap, of
 * those not read yet; false after the last.
 */
extern bool envelope_next_key(EnvelopeMessage *message, EnvelopeWrappedKey *key);

/*
 * Unwrap the data key by kek, then verify and decrypt the whole message to
 * plaintext, which has room for plaintext_length bytes.  False when kek is not
 * the one that wrapped the key here, or the message is wrong; plaintext then
 * holds nothing of it.
 */
extern bool envelope_open(const EnvelopeMessage *message, const EnvelopeWrappedKey *key,
						  const uint8_t *kek, uint8_t *plaintext);

#endif							/* PADLOCK_ENVELOPE_MESSAGE_H */
