/*-------------------------------------------------------------------------
 *
 * password.h
 *	  Password hashes: scrypt in PHC strings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PASSWORD_H
#define PADLOCK_PASSWORD_H

/*
 * Binary logarithm of scrypt's N.  The default and the parallelism that goes
 * with each cost are the equal choices of OWASP's Password Storage Cheat
 * Sheet: N = 2^17 with p = 1, 2^16 with 2, 2^15 with 3, 2^14 with 5, r = 8.
 * One hash takes 2^cost KiB of memory.
 */
#define PASSWORD_DEFAULT_COST	15
#define PASSWORD_MIN_COST		14
#define PASSWORD_MAX_COST		20

/* Characters of a password (NIST SP 800-63B, 5.1.1.2: at least 8, no composition rules). */
#define PASSWORD_MIN_LENGTH		8
#define PASSWORD_MAX_LENGTH		128

/* The PHC string of a password with a new salt and today's cost; palloc'd. */
extern char *password_hash(const char *password);

/* A set of costs has the bit of each. */
#define PASSWORD_COST_BIT(cost)	(UINT32_C(1) << (cost))

/*
 * Does the password match the PHC string?  NULL, for an account that does not
 * exist or has no password, matches nothing.  costs: those of all hashes that
 * are stored for accounts.  The work is one hash of each of them and of
 * today's cost, whatever the string's own, so that it tells nothing.
 */
extern bool password_verify(const char *password, const char *stored, uint32 costs);

/* The cost of a PHC string's parameters, as "ln=15,r=8,p=3"; 0 for any that we did not write. */
extern int	password_cost_of(const char *parameters);

/* Was the PHC string made with another cost than today's? */
extern bool password_is_outdated(const char *stored);

/* Overwrite a secret's text and free it; nothing to do for NULL. */
extern void password_wipe(char *password);

#endif							/* PADLOCK_PASSWORD_H */
