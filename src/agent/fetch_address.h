/*-------------------------------------------------------------------------
 *
 * fetch_address.h
 *	  Which network addresses padlock_fetch may connect to.
 *
 * A crawler fetches what strangers name, so it must not become their hand
 * inside the operator's network.  The verdict is on the address that a
 * connection is about to use, whatever name or spelling led to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_ADDRESS_H
#define PADLOCK_FETCH_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Ordered: an embedded address can only make an answer worse. */
typedef enum AddressClass
{
	ADDRESS_PUBLIC = 0,			/* always allowed */
	ADDRESS_PRIVATE = 1,		/* allowed with WIRE_FLAG_PRIVATE */
	ADDRESS_FORBIDDEN = 2		/* never allowed */
} AddressClass;

/* Bytes that address_text() can need. */
#define ADDRESS_TEXT_SIZE	64

/* Judge an address; one that is neither IPv4 nor IPv6 is forbidden. */
extern AddressClass address_class(const struct sockaddr *address);

/* Does an address lead to this machine and nowhere else? */
extern bool address_is_loopback(const struct sockaddr *address);

/* The address without its port, for people. */
extern void address_text(const struct sockaddr *address, char text[ADDRESS_TEXT_SIZE]);

#endif							/* PADLOCK_FETCH_ADDRESS_H */
