# The statements that the API promises, as they are written there.
# shellcheck shell=sh disable=SC2034,SC2154
step '15 Statements that the API promises'
since=$(now)
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
sed -e "s/document-uuid/$document/" -e "s/user-uuid/$tom/" "$work/statements.sql" >"$work/statements.real.sql"
say "As the API document writes them, but for its placeholders: 'document-uuid' became the" \
    "id of Maya's document, 'user-uuid' Tom's id."
sed -e 's/^/   /' "$work/statements.real.sql"
holds 'they run' psql -qX -o "$work/log" -v ON_ERROR_STOP=1 -f "$work/statements.real.sql"
table 'SELECT jobname, schedule, command, active FROM cron.job ORDER BY jobid'
same 'three are scheduled' 3 "$(sql 'SELECT count(*) FROM cron.job')"
while read -r command; do
    holds "cron's $command runs" run_psql -o "$work/log" -c "$command"
done <<COMMANDS
$(sql 'SELECT command FROM cron.job ORDER BY jobid')
COMMANDS
say 'What they set going is tried once before the demo ends:'
holds 'each job was tried' watch_queue "$since" 90 tried
table 'SELECT job_type, status, COUNT(*) FROM public.job_queue GROUP BY job_type, status ORDER BY 1, 2'
say 'pending: an attempt failed, for nobody answers at those addresses; the next one is due later:'
table "SELECT job_type, attempts || ' of ' || max_attempts AS attempts, to_char(next_retry_at, 'HH24:MI:SS') AS next,
    error_message AS reason FROM job_queue WHERE status = 'pending' ORDER BY next_retry_at"
same 'nothing is left but attempts to come, each with its reason' 0 "$(sql "SELECT count(*) FROM job_queue
    WHERE status = 'processing' AND attempts = 1 OR status = 'pending' AND (attempts = 0 OR error_message IS NULL OR next_retry_at IS NULL)")"
