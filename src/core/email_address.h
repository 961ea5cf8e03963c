/*-------------------------------------------------------------------------
 *
 * email_address.h
 *	  E-mail addresses, as strict as the mail that is sent to them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_EMAIL_ADDRESS_H
#define PADLOCK_EMAIL_ADDRESS_H

/*
 * Why mail cannot be sent to an address, or NULL when it can: a dot-atom of
 * ASCII, @ and a domain name of two labels or more (RFC 5321, 4.1.2, less
 * quoted local parts and address literals).
 */
extern const char *padlock_email_address_problem(const char *address);

#endif							/* PADLOCK_EMAIL_ADDRESS_H */
