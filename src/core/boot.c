/*-------------------------------------------------------------------------
 *
 * boot.c
 *	  Which boot of the machine this is, for files that are to outlive the
 *	  server and hold times of the boot's clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/fd.h"

#include "core/boot.h"

void
padlock_read_boot_id(char boot[PADLOCK_BOOT_ID_LENGTH])
{
	FILE	   *file = AllocateFile("/proc/sys/kernel/random/boot_id", "r");

	memset(boot, 0, PADLOCK_BOOT_ID_LENGTH);
	if (file == NULL)
		return;
	if (fread(boot, 1, PADLOCK_BOOT_ID_LENGTH, file) != PADLOCK_BOOT_ID_LENGTH)
		memset(boot, 0, PADLOCK_BOOT_ID_LENGTH);
	FreeFile(file);
}
