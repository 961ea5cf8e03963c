/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The rows of room accounts, read and written as the extension's owner.
 *
 * Callers of the endpoints may read none of these tables; the endpoints have
 * checked what the caller proved (a password, a token, an identity) before
 * they come here.  No SPI connection may be open around these functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_STORE_H
#define PADLOCK_STORE_H

#include "utils/uuid.h"

#include "core/spi.h"

typedef struct Account
{
	pg_uuid_t	id;
	char	   *email;
	char	   *password_hash;	/* NULL when the account has no password */
} Account;

/* Open a connection to SPI as the owner, and close it. */
extern void store_open(PadlockUserContext *saved);
extern void store_close(const PadlockUserContext *saved);

/* Run one statement between store_open() and store_close(); number of rows. */
extern uint64 store_run(PadlockStatement *statement, Datum *values, const char *nulls);

/* A text column of the current result, palloc'd; NULL for null. */
extern char *store_text(int row, int column);

/* A uuid column of the current result, which must not be null. */
extern pg_uuid_t store_uuid(int row, int column);

/* Find an account by its address, whatever the letter case, or by its id. */
extern bool account_find(const char *email, Account *account);
extern bool account_read(const pg_uuid_t *id, Account *account);

/* The costs of all passwords that are stored, as a set (password.h). */
extern uint32 account_password_costs(void);

/*
 * Is the account's password still the one in account, and will it be until
 * this transaction ends?  Makes sign-ins of an account and changes of its
 * password follow one another.
 */
extern bool account_hold_password(const Account *account);

/* Replace the password in account by another hash; false when it is no longer that. */
extern bool account_replace_password(const Account *account, const char *password_hash);

/*
 * Give a user a password, whatever he had; proves the address, too, since the
 * token for it was mailed there.
 */
extern void account_set_password(const pg_uuid_t *id, const char *password_hash);

/*
 * Make the account of an address with its first password, or give one to a
 * user that an admin made.  False when the address has a password already.
 */
extern bool account_confirm(const char *email, const char *password_hash);

/*
 * Make an account whose address nobody proved; false when there is a user
 * with this address, with or without a password.
 */
extern bool account_create(const char *email, const char *password_hash, Account *account);

/* Move a user to another address; false when that has a user, or he is gone. */
extern bool account_move(const pg_uuid_t *id, const char *email);

/* An address as it is compared: in lower case; palloc'd. */
extern char *account_address(const char *email);

#endif							/* PADLOCK_STORE_H */
