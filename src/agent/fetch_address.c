/*-------------------------------------------------------------------------
 *
 * fetch_address.c
 *	  Which network addresses padlock_fetch may connect to: pure functions
 *	  over the IANA special-purpose registries (RFC 6890 and successors).
 *
 * Link-local addresses are forbidden even where private ones are allowed.
 * Nothing worth crawling lives there, and the clouds' metadata services do
 * (169.254.169.254 and its like): one reachable URL of theirs gives away the
 * machine's credentials.  The metadata services that live elsewhere are
 * listed one by one.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/fetch_address.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* A block of IPv4 addresses; of two that contain an address the first counts. */
typedef struct Block4
{
	uint8_t		prefix[4];
	int			bits;
	AddressClass class;
} Block4;

static const Block4 blocks4[] = {
	{{0, 0, 0, 0}, 8, ADDRESS_FORBIDDEN},	/* "this network"; 0.0.0.0 is loopback on Linux */
	{{10, 0, 0, 0}, 8, ADDRESS_PRIVATE},
	{{100, 100, 100, 200}, 32, ADDRESS_FORBIDDEN},	/* Alibaba Cloud's metadata */
	{{100, 64, 0, 0}, 10, ADDRESS_PRIVATE}, /* carrier-grade NAT */
	{{127, 0, 0, 0}, 8, ADDRESS_PRIVATE},	/* loopback */
	{{168, 63, 129, 16}, 32, ADDRESS_FORBIDDEN},	/* Azure's wire server */
	{{169, 254, 0, 0}, 16, ADDRESS_FORBIDDEN},	/* link-local and metadata */
	{{172, 16, 0, 0}, 12, ADDRESS_PRIVATE},
	{{192, 0, 0, 192}, 32, ADDRESS_FORBIDDEN},	/* Oracle Cloud's metadata */
	{{192, 0, 0, 0}, 24, ADDRESS_PRIVATE},	/* IETF protocol assignments */
	{{192, 0, 2, 0}, 24, ADDRESS_PRIVATE},	/* documentation */
	{{192, 88, 99, 0}, 24, ADDRESS_PRIVATE},	/* 6to4 relays, withdrawn */
	{{192, 168, 0, 0}, 16, ADDRESS_PRIVATE},
	{{198, 18, 0, 0}, 15, ADDRESS_PRIVATE}, /* benchmarks */
	{{198, 51, 100, 0}, 24, ADDRESS_PRIVATE},	/* documentation */
	{{203, 0, 113, 0}, 24, ADDRESS_PRIVATE},	/* documentation */
	{{224, 0, 0, 0}, 4, ADDRESS_FORBIDDEN}, /* multicast */
	{{240, 0, 0, 0}, 4, ADDRESS_FORBIDDEN}	/* reserved, broadcast */
};

/* Where an IPv6 block hides an IPv4 address. */
typedef enum Embedding
{
	EMBEDS_NONE,
	EMBEDS_LAST,				/* bytes 12 to 15 */
	EMBEDS_AFTER_16,			/* bytes 2 to 5 */
	EMBEDS_INVERTED				/* bytes 12 to 15, all bits turned over */
} Embedding;

/* A block of IPv6 addresses; an embedded address makes its class worse at most. */
typedef struct Block6
{
	uint8_t		prefix[16];
	int			bits;
	AddressClass class;
	Embedding	embedding;
} Block6;

static const Block6 blocks6[] = {
	{{0}, 128, ADDRESS_FORBIDDEN, EMBEDS_NONE}, /* :: connects to loopback */
	{{[15] = 1}, 128, ADDRESS_PRIVATE, EMBEDS_NONE},	/* loopback */
	{{[10] = 0xff, [11] = 0xff}, 96, ADDRESS_PRIVATE, EMBEDS_LAST}, /* IPv4-mapped */
	{{0}, 96, ADDRESS_PRIVATE, EMBEDS_LAST},	/* IPv4-compatible */
	{{[8] = 0xff, [9] = 0xff}, 96, ADDRESS_PRIVATE, EMBEDS_LAST},	/* IPv4-translated */

	/*
	 * The well-known NAT64 prefix is how a network without IPv4 reaches the
	 * public IPv4 Internet, so it is as good as the address inside.
	 */
	{{0x00, 0x64, 0xff, 0x9b}, 96, ADDRESS_PUBLIC, EMBEDS_LAST},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDRESS_PRIVATE, EMBEDS_LAST},	/* local NAT64 */
	{{0x20, 0x01, 0x00, 0x00}, 32, ADDRESS_PRIVATE, EMBEDS_INVERTED},	/* Teredo */
	{{0x20, 0x01, 0x00}, 23, ADDRESS_PRIVATE, EMBEDS_NONE}, /* IETF, ORCHID, benchmarks */
	{{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_PRIVATE, EMBEDS_NONE},	/* documentation */
	{{0x20, 0x02}, 16, ADDRESS_PRIVATE, EMBEDS_AFTER_16},	/* 6to4 */
	{{0x3f, 0xff}, 20, ADDRESS_PRIVATE, EMBEDS_NONE},	/* documentation */
	{{0x20}, 3, ADDRESS_PUBLIC, EMBEDS_NONE},	/* global unicast */
	{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, ADDRESS_FORBIDDEN, EMBEDS_NONE},	/* AWS metadata */
	{{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128, ADDRESS_FORBIDDEN, EMBEDS_NONE},	/* Google's */
	{{0xfc}, 7, ADDRESS_PRIVATE, EMBEDS_NONE},	/* unique local */
	{{0xfe, 0xc0}, 10, ADDRESS_PRIVATE, EMBEDS_NONE},	/* site-local, withdrawn */
	{{0}, 0, ADDRESS_FORBIDDEN, EMBEDS_NONE}	/* link-local, multicast, unassigned */
};

static bool
in_block(const uint8_t *address, const uint8_t *prefix, int bits)
{
	int			whole = bits / 8;
	int			rest = bits % 8;

	if (memcmp(address, prefix, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static AddressClass
class_of_ipv4(const uint8_t *address)
{
	size_t		i;

	for (i = 0; i < lengthof(blocks4); i++)
	{
		if (in_block(address, blocks4[i].prefix, blocks4[i].bits))
			return blocks4[i].class;
	}
	return ADDRESS_PUBLIC;
}

/* Class of the IPv4 address inside an IPv6 address. */
static AddressClass
class_of_embedded(const uint8_t *address, Embedding embedding)
{
	uint8_t		inverted[4];
	int			i;

	switch (embedding)
	{
		case EMBEDS_NONE:
			break;
		case EMBEDS_LAST:
			return class_of_ipv4(address + 12);
		case EMBEDS_AFTER_16:
			return class_of_ipv4(address + 2);
		case EMBEDS_INVERTED:
			for (i = 0; i < 4; i++)
				inverted[i] = (uint8_t) ~address[12 + i];
			return class_of_ipv4(inverted);
	}
	return ADDRESS_PUBLIC;
}

static AddressClass
class_of_ipv6(const uint8_t *address)
{
	size_t		i = 0;
	AddressClass inside;

	/* the last block holds every address */
	while (!in_block(address, blocks6[i].prefix, blocks6[i].bits))
		i++;
	inside = class_of_embedded(address, blocks6[i].embedding);
	return inside > blocks6[i].class ? inside : blocks6[i].class;
}

AddressClass
address_class(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return class_of_ipv4((const uint8_t *) &((const struct sockaddr_in *) address)->sin_addr);
	if (address->sa_family == AF_INET6)
		return class_of_ipv6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	return ADDRESS_FORBIDDEN;
}

bool
address_is_loopback(const struct sockaddr *address)
{
	const uint8_t *ipv4 = (const uint8_t *) &((const struct sockaddr_in *) address)->sin_addr;

	if (address->sa_family == AF_INET)
		return ipv4[0] == 127;
	return address->sa_family == AF_INET6 &&
		IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) address)->sin6_addr);
}

void
address_text(const struct sockaddr *address, char text[ADDRESS_TEXT_SIZE])
{
	const void *bytes = NULL;

	if (address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *) address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) address)->sin6_addr;
	if (bytes == NULL || inet_ntop(address->sa_family, bytes, text, ADDRESS_TEXT_SIZE) == NULL)
		snprintf(text, ADDRESS_TEXT_SIZE, "of family %d", address->sa_family);
}
