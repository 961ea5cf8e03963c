# Who did what.
# shellcheck shell=sh disable=SC2034,SC2154
step '7  The audit trail, as an admin reads it'
as_user Ada "$admin"
caller_table "SELECT to_char(l.created_at, 'HH24:MI:SS.MS') AS at, l.action, l.table_name AS \"table\",
    coalesce(u.email, c.name, '-') AS who, l.ip_address AS ip, l.user_agent AS agent, l.request_path AS path
    FROM audit_logs l LEFT JOIN users u ON u.id = l.user_id LEFT JOIN insurance_companies c ON c.id = l.company_id
    ORDER BY l.created_at LIMIT 12"
same 'the company changed a price from its address, and both prices are kept' '192.0.2.44 310 289.5' "$(caller_value "
    SELECT concat_ws(' ', ip_address, trim_scale((old_values ->> 'premium_amount')::numeric), trim_scale((new_values ->> 'premium_amount')::numeric))
    FROM audit_logs WHERE record_id = '$landlord' AND company_id = '$company' AND lower(action) = 'update'")"
as_user Maya "$maya"
same 'a user reads none of it' 0 "$(caller_value 'SELECT count(*) FROM audit_logs')"
