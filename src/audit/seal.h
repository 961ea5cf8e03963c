/*-------------------------------------------------------------------------
 *
 * seal.h
 *	  Between the parts of the audit trail's tamper evidence.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_AUDIT_SEAL_H
#define PADLOCK_AUDIT_SEAL_H

/* An entry of a seal, one a row: created_at (8 bytes), id (16), digest (32). */
#define AUDIT_ENTRY_BYTES	56

/*
 * The digest of a row "a" of audit_logs, as SQL.  It is the same before and
 * after an erasure: what stands for the personal values is made of them and
 * the salt as long as they are there, and kept in the row when they are not.
 */
#define AUDIT_ROW_DIGEST \
	"padlock.audit_row_digest(a.created_at, a.id, a.user_id, a.company_id, a.action," \
	" a.table_name, a.record_id," \
	" CASE WHEN a.salt IS NULL AND num_nonnulls(a.old_values, a.new_values, a.ip_address," \
	"                                           a.user_agent, a.request_path) = 0" \
	"      THEN a.personal_digest END," \
	" a.salt, a.old_values, a.new_values, a.ip_address, a.user_agent, a.request_path)"

/*
 * The digest of a seal "s", which continues from the digest of the seal before
 * (NULL for the first), as SQL.
 */
#define AUDIT_SEAL_DIGEST(previous) \
	"padlock.audit_seal_digest(" previous ", s.number, s.sealed_at, s.closed_until," \
	" s.row_count, s.first_created_at, s.last_created_at, s.entries)"

#endif							/* PADLOCK_AUDIT_SEAL_H */
