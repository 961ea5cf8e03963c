/*-------------------------------------------------------------------------
 *
 * channel.h
 *	  A helper program's end of the wire: blocking exchange of frames over
 *	  PADLOCK_WIRE_FD, and the sealed memfds that carry bodies.
 *
 * See wire.h for what a frame is.  No function here keeps state; all may be
 * called after fork().
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CHANNEL_H
#define PADLOCK_CHANNEL_H

#include "agent/wire.h"

/* A received frame; size counts the header.  Walk it with wire_next_field(). */
typedef struct WireFrame
{
	WireHeader	header;
	size_t		size;
	unsigned char data[PADLOCK_WIRE_MAX_FRAME];
} WireFrame;

/*
 * Wait for the next frame.  1: a well-formed frame, *fd is the descriptor
 * that came with it (the caller closes it) or -1.  0: the peer is gone.  -1:
 * the packet is not a frame, or brought more than one descriptor; whatever
 * came with it is closed.
 */
extern int	channel_receive(WireFrame *frame, int *fd);

/* The same from another socket: padlock_parse hears its children so. */
extern int	channel_receive_from(int socket, WireFrame *frame, int *fd);

/*
 * Send a frame, with a descriptor unless fd is -1 (it stays open here).
 * False if the frame overflowed or the peer is gone.
 */
extern bool channel_send(const WireBuffer *buf, int fd);

/*
 * Has the peer gone?  Waits up to timeout_ms for it to go (0: does not wait);
 * a frame that arrives meanwhile is left alone.
 */
extern bool channel_closed(int timeout_ms);

/*
 * Copy a text field into out[out_size] and end it with NUL.  False if it is
 * too long, has a NUL inside or is not UTF-8.
 */
extern bool channel_text(const WireField *field, const unsigned char *value,
						 char *out, size_t out_size);

/*
 * Append a text that comes from outside: cut to at most `max` bytes at a
 * character's edge, with every byte that is not UTF-8 and every control
 * character but tab and newline replaced by '?'.
 */
extern void channel_put_text(WireBuffer *buf, WireTag tag, const char *value,
							 size_t length, size_t max);

/* Make an empty memfd that can be sealed, close-on-exec; -1 with errno set. */
extern int	sealed_memfd(const char *name);

/* Put PADLOCK_WIRE_SEALS on a memfd; false with errno set. */
extern bool seal_memfd(int fd);

/*
 * Is fd a memfd with all of PADLOCK_WIRE_SEALS and at most max bytes?  Only
 * then may it be mapped: nobody can shrink or change it any more.  *size is
 * set when it is.
 */
extern bool check_sealed_memfd(int fd, uint64_t max, uint64_t *size);

#endif							/* PADLOCK_CHANNEL_H */
