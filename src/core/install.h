/*-------------------------------------------------------------------------
 *
 * install.h
 *	  Are the user's objects there?
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_INSTALL_H
#define PADLOCK_INSTALL_H

/*
 * Has padlock.install(), or a restore in its place, come to its end?  Must run
 * inside a transaction.
 */
extern bool padlock_is_installed_whole(void);

#endif							/* PADLOCK_INSTALL_H */
