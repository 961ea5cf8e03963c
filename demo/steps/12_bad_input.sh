# What goes wrong ends as a failed job with its reason.
# shellcheck shell=sh disable=SC2034,SC2154
step '12 What goes wrong says why'
since=$(now)
as_user Tom "$tom"
call document_upload "{\"title\": \"A web page in disguise\", \"document_type\": \"other\", \"file_url\": \"$site/documents/not-a-policy.pdf\"}"
not_pdf=$(field "$answer" document,id)
call document_upload "{\"title\": \"Never ends\", \"document_type\": \"other\", \"file_url\": \"$site/endless/report.pdf\"}"
endless=$(field "$answer" document,id)
as_user Ada "$admin"
call company_onboard '{"name": "Lighthouse Life", "contact_email": "it@lighthouse.example", "website": "http://127.0.0.1:9/"}'
down=$(field "$answer" company,id)
say 'A site that is down, and a job type that no worker knows:' \
    "SELECT enqueue_job('ai_crawl', '{\"company_id\": \"$down\", \"website\": \"http://127.0.0.1:9/\"}', max_attempts_val => 1);" \
    "SELECT enqueue_job('make_tea', '{}');"
sql "SELECT enqueue_job('ai_crawl', jsonb_build_object('company_id', :'id', 'website', 'http://127.0.0.1:9/'), max_attempts_val => 1)" "id=$down" >/dev/null
sql "SELECT enqueue_job('make_tea', '{}')" >/dev/null
holds 'every job ended' watch_queue "$since" 60
table "SELECT job_type, status, attempts, error_message AS reason FROM job_queue WHERE created_at >= :'since' ORDER BY created_at" "since=$since"
same 'four jobs failed, each with a reason' 4 "$(sql "SELECT count(*) FROM job_queue WHERE created_at >= :'since' AND status = 'failed' AND error_message <> ''" "since=$since")"
as_user Tom "$tom"
caller_table "SELECT title, extraction_status, extraction_error FROM documents ORDER BY title"
same "the owner of the documents sees why" 2 "$(caller_value "SELECT count(*) FROM documents WHERE extraction_status = 'failed' AND extraction_error <> ''")"
