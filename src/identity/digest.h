/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  SHA-256 for short texts, many times a second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DIGEST_H
#define PADLOCK_DIGEST_H

#define SHA256_LENGTH 32

/* SHA-256 of length bytes; false when libcrypto fails. */
extern bool digest_sha256(const void *data, size_t length, unsigned char hash[SHA256_LENGTH]);

#endif							/* PADLOCK_DIGEST_H */
