# Who did what.
# shellcheck shell=sh disable=SC2034,SC2154
step '11 The audit trail, as an admin reads it'
as_user Ada "$admin"
# what CREATE EXTENSION filled in before the first user was made
seeds="l.user_id IS NULL AND l.table_name IN ('rate_limit_rules', 'email_templates')"
who_did="coalesce(u.email, c.name, CASE WHEN l.request_path IS NULL THEN 'worker or owner'
        WHEN l.request_path = '/rpc/ai_product_ingest' THEN 'webhook' ELSE 'visitor' END)"
caller_table "SELECT to_char(l.created_at, 'HH24:MI:SS.MS') AS at, l.action, l.table_name AS \"table\",
    $who_did AS who, l.ip_address AS ip, l.user_agent AS agent, l.request_path AS path
    FROM audit_logs l LEFT JOIN users u ON u.id = l.user_id LEFT JOIN insurance_companies c ON c.id = l.company_id
    WHERE NOT ($seeds) ORDER BY l.created_at LIMIT 8"
say "$(caller_value "SELECT format('the first %s of %s; %s more were made by CREATE EXTENSION', least(8, count(*) FILTER (WHERE NOT ($seeds))),
    count(*) FILTER (WHERE NOT ($seeds)), count(*) FILTER (WHERE $seeds)) FROM audit_logs l")"
say 'All of it, by who did it (a worker, and the owner in SQL, act for no user and no company):'
caller_table "SELECT $who_did AS who, l.action, l.table_name AS \"table\", count(*) FROM audit_logs l
    LEFT JOIN users u ON u.id = l.user_id LEFT JOIN insurance_companies c ON c.id = l.company_id
    WHERE NOT ($seeds) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
same 'the company changed a price from its address, and both prices are kept' '192.0.2.44 310 289.5' "$(caller_value "
    SELECT concat_ws(' ', ip_address, trim_scale((old_values ->> 'premium_amount')::numeric), trim_scale((new_values ->> 'premium_amount')::numeric))
    FROM audit_logs WHERE record_id = '$landlord' AND company_id = '$company' AND lower(action) = 'update'
        AND old_values -> 'premium_amount' <> new_values -> 'premium_amount'")"
same "Ada's two changes of a limit are there, too" 2 "$(caller_value "
    SELECT count(*) FROM audit_logs WHERE user_id = '$admin' AND table_name = 'rate_limit_rules'")"
as_user Maya "$maya"
same 'a user reads none of it' 0 "$(caller_value 'SELECT count(*) FROM audit_logs')"
