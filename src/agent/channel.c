/*-------------------------------------------------------------------------
 *
 * channel.c
 *	  A helper program's end of the wire: blocking exchange of frames over
 *	  PADLOCK_WIRE_FD, and the sealed memfds that carry bodies.
 *
 * The worker is treated as hostile, as it treats us: a packet is a whole
 * well-formed frame with at most one descriptor, or it is refused.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/channel.h"

#define MAX_RECEIVED_FDS	8

/* Room for the control message of a packet with n descriptors, aligned. */
#define CONTROL_BUFFER(n) \
	union \
	{ \
		char		bytes[CMSG_SPACE(sizeof(int) * (n))]; \
		struct cmsghdr align; \
	}

/*
 * Take the descriptors out of a received message: the first goes to *fd, the
 * others are closed.  Returns how many there were.
 */
static int
take_descriptors(struct msghdr *message, int *fd)
{
	struct cmsghdr *control;
	int			count = 0;

	*fd = -1;
	for (control = CMSG_FIRSTHDR(message); control != NULL;
		 control = CMSG_NXTHDR(message, control))
	{
		size_t		n;
		size_t		i;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++)
		{
			int			received;

			memcpy(&received, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
			if (count++ == 0)
				*fd = received;
			else
				close(received);
		}
	}
	return count;
}

int
channel_receive_from(int socket, WireFrame *frame, int *fd)
{
	CONTROL_BUFFER(MAX_RECEIVED_FDS) control;
	struct iovec part = {frame->data, sizeof(frame->data)};
	struct msghdr message = {0};
	ssize_t		size;
	int			count;

	message.msg_iov = &part;
	message.msg_iovlen = 1;
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);

	*fd = -1;
	do
		size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size <= 0)
		return 0;

	count = take_descriptors(&message, fd);
	frame->size = (size_t) size;
	if (count > 1 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
		!wire_check_frame(frame->data, frame->size, &frame->header))
	{
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return -1;
	}
	return 1;
}

int
channel_receive(WireFrame *frame, int *fd)
{
	return channel_receive_from(PADLOCK_WIRE_FD, frame, fd);
}

bool
channel_send(const WireBuffer *buf, int fd)
{
	CONTROL_BUFFER(1) control;
	struct iovec part = {(void *) buf->data, buf->used};
	struct msghdr message = {0};
	ssize_t		sent;

	if (buf->overflow)
		return false;
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	if (fd >= 0)
	{
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	do
		sent = sendmsg(PADLOCK_WIRE_FD, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t) buf->used;
}

bool
channel_closed(int timeout_ms)
{
	struct pollfd peer = {PADLOCK_WIRE_FD, 0, 0};

	return poll(&peer, 1, timeout_ms) > 0;
}

/*
 * Bytes of the UTF-8 character at text (of `length` bytes): 1 to 4, or 0 if
 * there is none.  Overlong forms, surrogates and NUL are none.
 */
static size_t
utf8_char_length(const unsigned char *text, size_t length)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t		n;
	size_t		i;

	if (length == 0 || text[0] == 0)
		return 0;
	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	n = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (length < n)
		return 0;

	/* the second byte's range rules out overlong forms and surrogates */
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (text[1] < low || text[1] > high)
		return 0;
	for (i = 2; i < n; i++)
	{
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

bool
channel_text(const WireField *field, const unsigned char *value, char *out, size_t out_size)
{
	size_t		done = 0;

	if (field->length >= out_size)
		return false;
	while (done < field->length)
	{
		size_t		n = utf8_char_length(value + done, field->length - done);

		if (n == 0)
			return false;
		done += n;
	}
	memcpy(out, value, field->length);
	out[field->length] = '\0';
	return true;
}

/* Length of a whole, printable or blank character at text, 0 if there is none. */
static size_t
clean_char_length(const unsigned char *text, size_t length)
{
	if (length > 0 && (text[0] == 0x7f || (text[0] < 0x20 && text[0] != '\t' && text[0] != '\n')))
		return 0;
	return utf8_char_length(text, length);
}

void
channel_put_text(WireBuffer *buf, WireTag tag, const char *value, size_t length, size_t max)
{
	const unsigned char *text = (const unsigned char *) value;
	unsigned char *copy;
	size_t		done = 0;
	size_t		n;

	while (done < length)
	{
		n = clean_char_length(text + done, length - done);
		if (n == 0)
			n = 1;
		if (done + n > max)
			break;
		done += n;
	}
	length = done;
	wire_put(buf, tag, value, length);
	if (buf->overflow)
		return;

	/* a bad byte becomes one '?', so the copy can be cleaned where it lies */
	copy = buf->data + buf->used - length;
	for (done = 0; done < length; done += n)
	{
		n = clean_char_length(copy + done, length - done);
		if (n == 0)
		{
			copy[done] = '?';
			n = 1;
		}
	}
}

int
sealed_memfd(const char *name)
{
	return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

bool
seal_memfd(int fd)
{
	return fcntl(fd, F_ADD_SEALS, PADLOCK_WIRE_SEALS) == 0;
}

bool
check_sealed_memfd(int fd, uint64_t max, uint64_t *size)
{
	struct stat status;
	int			seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & PADLOCK_WIRE_SEALS) != PADLOCK_WIRE_SEALS ||
		fstat(fd, &status) != 0 || status.st_size < 0 ||
		(uint64_t) status.st_size > max)
		return false;
	*size = (uint64_t) status.st_size;
	return true;
}
