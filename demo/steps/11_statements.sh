# The statements that the API promises, as they are written there.
# shellcheck shell=sh disable=SC2034,SC2154
step '11 Statements that must run as they are written'
sql 'CREATE EXTENSION pg_cron'
cat >"$work/statements.sql" <<'SQL'
SELECT cron.schedule('daily-ai-crawls', '0 2 * * *', 'SELECT public.schedule_daily_ai_crawls();');
SELECT cron.schedule('weekly-job-cleanup', '0 3 * * 0', 'SELECT public.cleanup_old_jobs();');
SELECT cron.schedule('process-jobs', '* * * * *', 'SELECT public.job_worker();');
SELECT public.enqueue_pdf_extraction('document-uuid', 'https://storage.example/file.pdf', 10);
INSERT INTO public.admin_users (id, role, permissions) VALUES ('user-uuid', 'super_admin', '["all"]'::jsonb);
SELECT job_type, status, COUNT(*) FROM public.job_queue GROUP BY job_type, status;
SELECT * FROM public.audit_logs ORDER BY created_at DESC LIMIT 100;
SELECT identifier, endpoint, request_count FROM public.rate_limits WHERE window_start > now() - interval '1 hour' ORDER BY request_count DESC;
SELECT * FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 500 AND is_active = true AND 'dental' = ANY(search_keywords);
SQL
# document-uuid and user-uuid stand for real ones
sed -e "s/document-uuid/$document/" -e "s/user-uuid/$tom/" "$work/statements.sql" >"$work/statements.real.sql"
sed -e 's/^/   /' "$work/statements.sql"
holds 'they run' psql -qX -o "$work/log" -v ON_ERROR_STOP=1 -f "$work/statements.real.sql"
table 'SELECT jobname, schedule, command, active FROM cron.job ORDER BY jobid'
same 'three are scheduled' 3 "$(sql 'SELECT count(*) FROM cron.job')"
while read -r command; do
    holds "cron's $command runs" run_psql -o "$work/log" -c "$command"
done <<COMMANDS
$(sql 'SELECT command FROM cron.job ORDER BY jobid')
COMMANDS
table 'SELECT job_type, status, COUNT(*) FROM public.job_queue GROUP BY job_type, status ORDER BY 1, 2'
